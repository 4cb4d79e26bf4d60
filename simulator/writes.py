"""Create, update, merge patch and delete of any object, as plain storage: no admission, no controllers."""

from __future__ import annotations

import time
from typing import Any

import orjson

from . import status
from .bodies.common import managed, stamp
from .bodies.events import from_events_v1
from .lists import object_bytes
from .member import CRDS, Member
from .objects import Held
from .rows import WrittenRow
from .template import go_json
from .types import ServedType

Body = dict[str, Any]
JSON = "application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


WITH_GENERATION = frozenset(
    (
        *("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job", "CronJob", "Pod"),
        *("Ingress", "NetworkPolicy", "PodDisruptionBudget", "EndpointSlice", "CustomResourceDefinition"),
    )
)


def _content(obj: Body) -> Body:
    """What tells whether a write changes anything."""
    ignored = ("resourceVersion", "managedFields")
    meta = {key: value for key, value in obj["metadata"].items() if key not in ignored and value not in (None, {}, [])}
    return obj | {"metadata": meta, "kind": "", "apiVersion": ""}


def completed(served: ServedType, obj: Body) -> Body:
    """What a server and its controllers add at once to those kinds that others depend on."""
    if served.storage == ("", "namespaces"):
        meta = obj["metadata"]
        labels = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
        return obj | {
            "metadata": meta | {"labels": dict(sorted(labels.items()))},
            "spec": obj.get("spec") or {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
    if served.storage == CRDS:
        names = obj["spec"]["names"]
        names = {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List", **names}
        stored = [version["name"] for version in obj["spec"]["versions"] if version.get("storage")]
        moment = obj["metadata"]["creationTimestamp"]
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": ""}
            for kind, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted"))
        ]
        status_ = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}
        return obj | {"spec": obj["spec"] | {"names": names}, "status": status_}
    return obj


class Writer:
    """Applies writes to one member; answers with a code and the object's bytes."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def apply(
        self, verb: str, served: ServedType, namespace: str, name: str, payload: bytes, content_type: str
    ) -> tuple[int, bytes]:
        """Raises StatusError for what the API server refuses."""
        match verb:
            case "create" if served.verbs == ("create",):
                return 201, self._reviewed(served, self._parse(payload, content_type))
            case "create":
                return 201, self._answer(served, self.create(served, namespace, self._parse(payload, content_type)))
            case "update":
                return 200, self._answer(
                    served, self.update(served, namespace, name, self._parse(payload, content_type))
                )
            case "patch":
                if content_type not in (MERGE, STRATEGIC):
                    message = (
                        f"the body of the request was in an unknown format - accepted media types include: {MERGE}"
                    )
                    raise status.StatusError(415, "UnsupportedMediaType", message, {})
                current = self._current(served, namespace, name)
                patched = merge(self._object(served, current), self._parse(payload))
                return 200, self._answer(served, self.update(served, namespace, name, patched))
            case "delete":
                held = self._current(served, namespace, name)
                self.delete(served, namespace, name)
                return 200, self._deleted(served, name, held)
        for key, held in list(self._member.objects(served.storage).walk(namespace)):
            del key
            self.delete(served, held[0].namespace, held[0].name)
        return 200, b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}\n'

    # -- the verbs, also used by tests in this process -------------------------------------------------------------

    def create(self, served: ServedType, namespace: str, obj: Body) -> Held:
        meta = dict(obj.get("metadata") or {})
        name = meta.get("name") or ""
        if not name and meta.get("generateName"):
            name = f"{meta['generateName']}{self._member.new_ordinal() % 100_000:05d}"
        if not name:
            raise status.name_required(served.kind, served.group)
        namespace = namespace or (meta.get("namespace", "") if served.namespaced else "")
        if served.namespaced and self._member.get(("", "namespaces"), "", namespace) is None:
            raise status.not_found("", "namespaces", namespace)
        if self._member.get(served.storage, namespace, name) is not None:
            raise status.already_exists(served.group, served.resource, name)
        meta |= {"name": name}
        if served.namespaced:
            meta["namespace"] = namespace
        meta["uid"] = self._member.identity.uid(self._member.new_ordinal()).decode()
        meta["creationTimestamp"] = stamp(time.time()).decode()
        if served.custom or served.kind in WITH_GENERATION:
            meta["generation"] = 1
        created = completed(served, obj | {"metadata": meta})
        parts = {key: value for key, value in created.items() if key not in ("apiVersion", "kind", "metadata")}
        described = {key: meta[key] for key in ("labels", "annotations") if meta.get(key)}
        owned = ({"metadata": described} if described else {}) | parts
        if owned and not meta.get("managedFields"):
            moment = meta["creationTimestamp"]
            created["metadata"]["managedFields"] = [managed("unknown", served.api_version, owned, time=moment)]
        return self._store(served, created)

    def update(self, served: ServedType, namespace: str, name: str, obj: Body) -> Held:
        current = self._current(served, namespace, name)
        before = self._object(served, current)
        old = before["metadata"]
        meta = dict(obj.get("metadata") or {})
        given = meta.get("resourceVersion", "")
        if given and given != str(current[1]):
            raise status.conflict(served.group, served.resource, name)
        if meta.get("uid", old["uid"]) != old["uid"]:
            raise status.conflict(served.group, served.resource, name)
        for key in ("name", "namespace", "uid", "creationTimestamp", "generation"):
            if key in old:
                meta[key] = old[key]
        meta.setdefault("managedFields", old.get("managedFields", []))
        # A write that changes nothing is none: the version stays, no watch hears of it.
        if _content(before) == _content(obj | {"metadata": meta}):
            return current
        if "generation" in meta and before.get("spec") != obj.get("spec"):
            meta["generation"] += 1
        return self._store(served, obj | {"metadata": meta})

    def delete(self, served: ServedType, namespace: str, name: str) -> None:
        if served.storage == ("", "namespaces"):
            self._empty_namespace(name)
        if self._member.remove(served.storage, namespace, name) is None:
            raise status.not_found(served.group, served.resource, name)

    def _reviewed(self, served: ServedType, review: Body) -> bytes:
        """The only user may do everything; other questions of this kind are not answered."""
        if served.kind != "SelfSubjectAccessReview":
            raise status.StatusError(501, "NotImplemented", f"the simulator does not answer a {served.kind}", {})
        head = {"kind": served.kind, "apiVersion": served.api_version, "metadata": {}}
        return go_json(head | {"spec": review.get("spec", {}), "status": {"allowed": True}}) + b"\n"

    # -- parts -----------------------------------------------------------------------------------------------------

    def _store(self, served: ServedType, obj: Body) -> Held:
        if served.group == "events.k8s.io":
            obj = from_events_v1(obj)
        change = self._member.write(served.storage, WrittenRow(obj, served.custom))
        return change.row, change.rv

    def _empty_namespace(self, namespace: str) -> None:
        for storage, objects in [*self._member.all_objects()]:
            for _, (row, _) in list(objects.walk(namespace)):
                self._member.remove(storage, namespace, row.name)

    def _current(self, served: ServedType, namespace: str, name: str) -> Held:
        held = self._member.get(served.storage, namespace, name)
        if held is None:
            raise status.not_found(served.group, served.resource, name)
        return held

    def _object(self, served: ServedType, held: Held) -> Body:
        obj: Body = orjson.loads(object_bytes(self._member, served, held))
        return obj

    def _answer(self, served: ServedType, held: Held) -> bytes:
        return object_bytes(self._member, served, held) + b"\n"

    def _deleted(self, served: ServedType, name: str, held: Held) -> bytes:
        details: Body = {"name": name, "kind": served.resource, "uid": held[0].uid(self._member.identity)}
        if served.group:
            details = {"name": name, "group": served.group, **details}
        answer = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return go_json(answer) + b"\n"

    @staticmethod
    def _parse(payload: bytes, content_type: str = JSON) -> Body:
        if content_type not in (JSON, MERGE, STRATEGIC):
            message = f"the body of the request was in an unknown format - accepted media types include: {JSON}"
            raise status.StatusError(415, "UnsupportedMediaType", message, {})
        try:
            obj = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise status.bad_request(f"the object provided is unrecognized: {error}") from error
        if not isinstance(obj, dict):
            raise status.bad_request("the object provided is unrecognized: it is not a JSON object")
        return obj
