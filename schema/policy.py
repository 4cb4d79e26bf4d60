"""The sync policy: what a cluster's agent sends. Evaluated by the agent; the aggregator stores and checks it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from schema.errors import BadRequest
from schema.resource import ResourceType


class Rule(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Matches a type when group and resource both match (`*` wildcards; a resource by plural or kind), and, where
    given, objects by namespace (wildcards; cluster-scoped objects have none) and by label selector."""

    groups: tuple[str, ...] = ("*",)
    resources: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ()
    labels: str = ""

    def matches_type(self, type: ResourceType) -> bool:
        named = _any(self.resources, type.resource) or _any(self.resources, type.kind)
        return named and _any(self.groups, type.group)

    @property
    def whole_type(self) -> bool:
        return not self.namespaces and not self.labels


DEFAULT_EXCLUDE = (
    Rule(groups=("coordination.k8s.io",), resources=("leases",)),
    Rule(groups=("",), resources=("endpoints",)),
)
"""They never rest and say nothing that endpointslices and nodes do not (traps 28)."""


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An object is synced when an include rule matches it and no exclude rule does. Wildcards stay as written: a kind
    that comes later is matched when it comes."""

    include: tuple[Rule, ...] = (Rule(),)
    exclude: tuple[Rule, ...] = DEFAULT_EXCLUDE

    def includes_type(self, type: ResourceType) -> bool:
        return not self.why_excluded(type)

    def why_excluded(self, type: ResourceType) -> str:
        """Empty where the type is synced, else the policy line that leaves it out."""
        if not any(rule.matches_type(type) for rule in self.include):
            return f"no include rule of the sync policy matches {type.name}"
        for position, rule in enumerate(self.exclude):
            if rule.whole_type and rule.matches_type(type):
                return f"the sync policy excludes {type.name} (exclude[{position}])"
        return ""


def parse_policy(data: bytes) -> Policy:
    """Read a policy from JSON. Raises BadRequest that names the place of what is wrong."""
    try:
        return msgspec.json.decode(data, type=Policy)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the policy is not valid: {error}") from error


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
