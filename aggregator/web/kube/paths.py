"""What a path under a face names, as Kubernetes lays its paths out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schema.errors import BadRequest, NotFound

What = Literal["root", "version", "core", "groups", "group", "resources", "objects"]


@dataclass(frozen=True)
class Target:
    """`resources`: the types of one group and version. `objects`: a list, where `name` is "", else one object."""

    what: What
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target:
    """`path` without the face's prefix. Raises NotFound for what no Kubernetes API has."""
    match [part for part in path.split("/") if part]:
        case []:
            return Target("root")
        case ["version"]:
            return Target("version")
        case ["api"]:
            return Target("core")
        case ["apis"]:
            return Target("groups")
        case ["apis", group]:
            return Target("group", group)
        case ["api", version]:
            return Target("resources", "", version)
        case ["apis", group, version]:
            return Target("resources", group, version)
        case ["api", version, *rest]:
            return _objects("", version, rest)
        case ["apis", group, version, *rest]:
            return _objects(group, version, rest)
    raise NotFound(f"there is nothing at {path!r}; this is a read-only Kubernetes API: see /api, /apis and /version")


def _objects(group: str, version: str, rest: list[str]) -> Target:
    match rest:
        case ["watch", *_]:
            raise BadRequest("paths with /watch/ are not served; add ?watch=true to the path of the list")
        case ["namespaces", namespace, resource, *more] if resource not in ("status", "finalize"):
            name, subresource = _object(more)
            return Target("objects", group, version, resource, namespace, name, subresource)
        case [resource, *more]:
            name, subresource = _object(more)
            return Target("objects", group, version, resource, "", name, subresource)
    raise NotFound("there is nothing here")


def _object(rest: list[str]) -> tuple[str, str]:
    name, *subresource = rest or [""]
    return name, "/".join(subresource)
