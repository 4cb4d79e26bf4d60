"""Questions about oneself: `kubectl auth can-i`, `auth whoami`, and what k9s asks before it shows anything (traps 15).

They come as JSON or as Kubernetes' protobuf (four bytes, then `Unknown{raw=2}`); the answer is JSON, which all take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from aggregator.rbac.identity import Actor
from aggregator.web.kube.discovery import VERBS
from aggregator.web.kube.face import Face
from aggregator.web.kube.paths import Target
from schema.errors import BadRequest, TooLarge, UnsupportedMediaType

REVIEWS: Final = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "v1", "selfsubjectreviews"),
}
MAX_BYTES: Final = 64 * 1024
_PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_ATTRIBUTES: Final = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}


class _Attributes(msgspec.Struct):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class _NonResource(msgspec.Struct):
    path: str = ""
    verb: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    resource_attributes: _Attributes | None = None
    non_resource_attributes: _NonResource | None = None
    namespace: str = ""


class _Review(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


def is_review(request: web.Request, target: Target) -> bool:
    key = (target.group, target.version, target.resource)
    return request.method == "POST" and key in REVIEWS and not (target.name or target.namespace)


async def answer(request: web.Request, face: Face, target: Target, actor: Actor) -> web.Response:
    """Raises BadRequest, TooLarge, UnsupportedMediaType."""
    if (request.content_length or 0) > MAX_BYTES:
        raise TooLarge(f"a review has at most {MAX_BYTES} bytes")
    data = b""
    while len(data) <= MAX_BYTES and (chunk := await request.content.read(MAX_BYTES + 1)):
        data += chunk  # one read gives what has arrived, not the whole
    if len(data) > MAX_BYTES:
        raise TooLarge(f"a review has at most {MAX_BYTES} bytes")
    review = _decoded(request.content_type, data, target.resource)
    kind = {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
        "selfsubjectreviews": "SelfSubjectReview",
    }[target.resource]
    status: Mapping[str, Any]
    match kind:
        case "SelfSubjectAccessReview":
            status = _access(face, review.spec)
        case "SelfSubjectRulesReview":
            status = _rules(face, review.spec.namespace)
        case _:
            status = {
                "userInfo": {"username": actor.name, "uid": "", "groups": [f"fleetpedia:{actor.role}"], "extra": {}}
            }
    document = {
        "kind": kind,
        "apiVersion": f"{target.group}/{target.version}",
        "metadata": {"creationTimestamp": None},
        **({"spec": msgspec.to_builtins(review.spec)} if kind != "SelfSubjectReview" else {}),
        "status": status,
    }
    return web.Response(status=201, body=msgspec.json.encode(document), content_type="application/json")


def _access(face: Face, spec: _Spec) -> Mapping[str, Any]:
    asked = spec.resource_attributes
    if asked is None:
        path = spec.non_resource_attributes or _NonResource()
        allowed = path.verb == "get" and path.path.split("/")[1:2] in (["api"], ["apis"], ["version"])
        return _verdict(allowed, "" if allowed else "the index has discovery and /version only")
    if asked.verb not in VERBS:
        return _verdict(False, f"the index is read-only; ask the member itself whether you may {asked.verb}")
    if asked.subresource:
        return _verdict(False, "subresources are not in the index")
    names = {
        (type.definition.group, type.definition.resource)
        for type in face.types()
        if asked.group in ("*", type.definition.group) and asked.resource in ("*", type.definition.resource)
    }
    if not names:
        return _verdict(False, "the type is not in the index, or your token does not reach it")
    limited = face.scope.namespaces
    if limited and not (asked.namespace and face.scope.allows_namespace(asked.namespace)):
        return _verdict(False, f"your token reaches the namespaces {', '.join(limited)}; ask for one of them")
    return _verdict(True, "")


def _verdict(allowed: bool, reason: str) -> Mapping[str, Any]:
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


def _rules(face: Face, namespace: str) -> Mapping[str, Any]:
    groups: dict[str, list[str]] = {}
    if not face.scope.namespaces or face.scope.allows_namespace(namespace):
        for type in face.types():
            groups.setdefault(type.definition.group, []).append(type.definition.resource)
    return {
        "resourceRules": [
            {"verbs": VERBS, "apiGroups": [group], "resources": sorted(set(resources))}
            for group, resources in sorted(groups.items())
        ],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"]}],
        "incomplete": False,
    }


# -- decoding ----------------------------------------------------------------------------------------------------------
def _decoded(content_type: str, data: bytes, resource: str) -> _Review:
    if content_type == "application/json":
        try:
            return msgspec.json.decode(data, type=_Review)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the review is not valid: {error}") from error
    if content_type != _PROTOBUF:
        raise UnsupportedMediaType(f"a review comes as application/json or {_PROTOBUF}, not {content_type}")
    if data[:4] != _MAGIC:
        raise BadRequest("the body does not begin as Kubernetes' protobuf does")
    try:
        return _from_protobuf(data[4:], resource)
    except (IndexError, UnicodeDecodeError) as error:
        raise BadRequest("the protobuf body ends in the middle or is damaged") from error


def _from_protobuf(data: bytes, resource: str) -> _Review:
    review = _Review()
    raw = dict(_fields(data)).get(2, b"")
    spec = dict(_fields(raw)).get(2, b"")
    for number, value in _fields(spec):
        if resource == "selfsubjectrulesreviews" and number == 1:
            review.spec.namespace = value.decode()
        elif resource == "selfsubjectaccessreviews" and number == 1:
            found = {_ATTRIBUTES[n]: text.decode() for n, text in _fields(value) if n in _ATTRIBUTES}
            review.spec.resource_attributes = _Attributes(**found)
        elif resource == "selfsubjectaccessreviews" and number == 2:
            paths = {n: text.decode() for n, text in _fields(value)}
            review.spec.non_resource_attributes = _NonResource(paths.get(1, ""), paths.get(2, ""))
    return review


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message, others skipped. Raises IndexError where it ends in the middle."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise IndexError("field beyond the end")
                yield key >> 3, data[at : at + size]
                at += size
            case 5:
                at += 4
            case _:
                raise IndexError("unknown wire type")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("number too long")
