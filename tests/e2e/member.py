"""What tests do to members, and what a member's own watch shows, with the time at which it showed it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from tests.controlplane.api import Api, ApiError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until


def config_map(name: str, data: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": data or {"key": "value"}}


def quiet_pod(name: str, **labels: str) -> dict[str, Any]:
    """A pod that no scheduler looks at: nothing happens to it by itself."""
    containers = [{"name": "main", "image": "registry.example/quiet:1"}]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"schedulerName": "nobody", "containers": containers},
    }


def deployment(name: str, replicas: int, **labels: str) -> dict[str, Any]:
    labels = {"app": name, **labels}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "main", "image": f"registry.example/{name}:1"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def definition(plural: str, kind: str, *versions: str, group: str = "demo.example.org", **more: Any) -> dict[str, Any]:
    """A CRD whose versions print SIZE and COLOR; the last one is stored."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    served = [
        {
            "name": version,
            "served": True,
            "storage": version == versions[-1],
            "schema": schema,
            "additionalPrinterColumns": columns,
        }
        for version in versions
    ]
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **more}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": served},
    }


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def install(plane: ControlPlane, crd: dict[str, Any]) -> str:
    """Creates a CRD and waits until the member serves it; returns the path of its objects without a namespace."""
    plane.api.create(CRDS, crd)
    return wait_served(plane, crd)


def wait_served(plane: ControlPlane, crd: dict[str, Any], version: str = "") -> str:
    spec = crd["spec"]
    path = f"/apis/{spec['group']}/{version or spec['versions'][-1]['name']}"
    plural = spec["names"]["plural"]

    def served() -> bool:
        try:
            found = plane.api.get(path)["resources"]
            plane.api.get(f"{path}/{plural}?limit=1")
        except ApiError as error:
            if error.status not in (404, 503):
                raise
            return False
        return any(entry["name"] == plural for entry in found)

    wait_until(served, f"{plural} is served in {version or 'its newest version'}", explain=plane.explain)
    return path


def gone(api: Api, path: str) -> bool:
    """Whether the member answers 404."""
    try:
        api.get(path)
    except ApiError as error:
        if error.status != 404:
            raise
        return True
    return False


def delete_namespace(plane: ControlPlane, name: str, *, timeout: float = 60) -> None:
    """Returns when it is gone with all that was in it."""
    with contextlib.suppress(ApiError):
        plane.api.delete(f"/api/v1/namespaces/{name}")
    wait_until(lambda: gone(plane.api, f"/api/v1/namespaces/{name}"), f"{name} is gone", timeout=timeout)


@dataclass(frozen=True)
class Seen:
    """One event of a member's watch and the monotonic time at which it came."""

    at: float
    type: str
    object: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class MemberWatch:
    """A member's own watch of `path`, from now on."""

    def __init__(self, plane: ControlPlane, path: str) -> None:
        self.events: list[Seen] = []
        self._changed = threading.Condition()
        version = plane.api.get(f"{path}?limit=1")["metadata"]["resourceVersion"]
        self._connection, self._response = plane.api.open(f"{path}?watch=true&resourceVersion={version}", timeout=120)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        with contextlib.suppress(OSError, HTTPException, ValueError, AttributeError):
            for line in self._response:
                event = json.loads(line)
                with self._changed:
                    self.events.append(Seen(time.monotonic(), event["type"], event["object"]))
                    self._changed.notify_all()

    def wait(self, matches: Callable[[Seen], bool], what: str, *, timeout: float = 20) -> Seen:
        """The first event that matches."""
        with self._changed:
            found = self._changed.wait_for(lambda: next(filter(matches, self.events), None), timeout)
        assert found is not None, f"the member's watch never showed {what}; it showed {len(self.events)} events"
        return found

    def close(self) -> None:
        # Shut down first: closing does not wake a thread that reads.
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()


@contextmanager
def watching(plane: ControlPlane, path: str) -> Iterator[MemberWatch]:
    watch = MemberWatch(plane, path)
    try:
        yield watch
    finally:
        watch.close()


class Churn:
    """Creates, changes and deletes ConfigMaps in a namespace of its own until `stop`, whatever breaks meanwhile.

    Deterministic in what it does; `made` counts the calls that the API server took."""

    def __init__(self, plane: ControlPlane, namespace: str, *, keys: int = 41) -> None:
        self.made = 0
        self.failed = 0
        self._api = plane.api
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._keys = keys
        self._stop = threading.Event()
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the churn does not end"
        assert not self._errors, self._errors

    def wait_made(self, more: int, *, timeout: float = 60) -> None:
        """Waits until the API server took `more` further calls."""
        target = self.made + more
        wait_until(lambda: self.made >= target, f"{more} more changes are made", timeout=timeout)

    def _work(self) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            try:
                self._step(turn)
                self.made += 1
            except (OSError, ApiError) as error:
                # Away, or not sure whether the last call was taken: both are what the tests are about.
                if isinstance(error, ApiError) and error.status not in (404, 409, 429, 500, 503, 504):
                    self._errors.append(error)
                    return
                self.failed += 1
                self._stop.wait(0.02)

    def _step(self, turn: int) -> None:
        # 7 and 41 have no common factor with 5: each key goes through all five steps, one at each visit.
        name = f"churn-{(turn * 7) % self._keys}"
        step = turn % 5
        if step in (2, 4):
            self._api.delete(f"{self._path}/{name}")
        if step in (0, 2):
            self._api.create(self._path, config_map(name, {"turn": str(turn)}, turn=str(turn % 3)))
        if step in (1, 3):
            self._api.patch(f"{self._path}/{name}", {"data": {"turn": str(turn)}})


def latency(seen: Seen, condition: Callable[[], bool], what: str, *, limit: float) -> float:
    """Seconds from the member's watch showing `seen` to `condition`; fails beyond `limit`, and prints the figure."""
    deadline = seen.at + limit
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit:g} s of the member's own watch showing it"
        time.sleep(0.01)
    took = max(0.0, time.monotonic() - seen.at)
    print(f"{what}: {took * 1000:.0f} ms after the member's own watch")
    return took
