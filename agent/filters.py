"""What the sync policy lets through of one type: by namespace and by labels."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec
import xxhash

from schema.policy import Policy, Rule
from schema.resource import ResourceType
from schema.selectors import Selector, parse_label_selector


class Filter:
    """Raises BadRequest where a rule's label selector is none."""

    def __init__(self, policy: Policy, type: ResourceType) -> None:
        include = [rule for rule in policy.include if rule.matches_type(type)]
        # A rule for the whole type says all that the others could say.
        include = [] if any(rule.whole_type for rule in include) else include
        exclude = [rule for rule in policy.exclude if rule.matches_type(type) and not rule.whole_type]
        self._include = [_Rule(rule) for rule in include]
        self._exclude = [_Rule(rule) for rule in exclude]
        self.everything = not include and not exclude
        self.digest = "" if self.everything else xxhash.xxh3_64_hexdigest(msgspec.json.encode([include, exclude]))

    def lets(self, namespace: str, labels: Mapping[str, str]) -> bool:
        if self._include and not any(rule.matches(namespace, labels) for rule in self._include):
            return False
        return not any(rule.matches(namespace, labels) for rule in self._exclude)


class _Rule:
    def __init__(self, rule: Rule) -> None:
        self._namespaces = rule.namespaces
        self._labels: Selector = parse_label_selector(rule.labels)

    def matches(self, namespace: str, labels: Mapping[str, str]) -> bool:
        if self._namespaces and not self._names(namespace):
            return False
        return self._labels.matches(labels)

    def _names(self, namespace: str) -> bool:
        """An object outside namespaces is in none of those that a rule names."""
        return bool(namespace) and any(fnmatchcase(namespace, pattern) for pattern in self._namespaces)
