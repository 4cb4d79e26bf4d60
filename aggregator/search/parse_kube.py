"""URL parameters of a Kubernetes list or watch. What is not known is refused by name, never ignored (traps 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aggregator.search.query import EVERYTHING, AnyOf, Expression, Field, Glob, Label, Match, Not, every
from schema.errors import BadRequest
from schema.selectors import Requirement, Selector, parse_field_selector, parse_label_selector

GET_PARAMETERS: Final = frozenset({"pretty", "timeout", "resourceVersion", "includeObject"})
LIST_PARAMETERS: Final = GET_PARAMETERS | {
    *("timeoutSeconds", "limit", "continue", "resourceVersionMatch", "labelSelector", "fieldSelector"),
    *("watch", "allowWatchBookmarks", "sendInitialEvents"),
}
CLUSTER_LABEL: Final = "fleetpedia.io/cluster"
CLUSTER_FIELD: Final = "metadata.cluster"
_HINTS: Final = {
    "shardSelector": "; ignoring it would widen the answer",
    "fields": "; write fieldSelector",
    "labels": "; write labelSelector",
    "cluster": f"; select clusters with labelSelector={CLUSTER_LABEL}=NAME or ask /fleet/clusters/NAME",
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NO_SELECTOR: Final = Selector()
IncludeObject = Literal["Metadata", "None", "Object"]


@dataclass(frozen=True)
class ListOptions:
    """What was asked, parsed. `limit`: 0 = everything. `timeout`: seconds, 0 = none. `version`: "" = not given."""

    where: Expression = EVERYTHING
    labels: Selector = NO_SELECTOR
    fields: Selector = NO_SELECTOR
    limit: int = 0
    token: str = ""
    version: str = ""
    version_match: str = ""
    watch: bool = False
    timeout: float = 0.0
    bookmarks: bool = False
    initial_events: bool | None = None
    """Synthetic ADDED events first; None = where no version to go on from is given."""
    include_object: IncludeObject = "Metadata"
    pretty: bool = False


def parse_list_options(parameters: Mapping[str, Sequence[str]]) -> ListOptions:
    """Raises BadRequest that names the parameter and what would be right."""
    given = _single(parameters, LIST_PARAMETERS)
    labels = parse_label_selector(given.get("labelSelector", ""))
    fields = parse_field_selector(given.get("fieldSelector", ""))
    options = ListOptions(
        where=every(*map(_label, labels.requirements), *map(_field, fields.requirements)),
        labels=labels,
        fields=fields,
        limit=_integer(given, "limit"),
        token=given.get("continue", ""),
        version=_version(given),
        version_match=given.get("resourceVersionMatch", ""),
        watch=_boolean(given, "watch"),
        timeout=_timeout(given),
        bookmarks=_boolean(given, "allowWatchBookmarks"),
        initial_events=_boolean(given, "sendInitialEvents") if "sendInitialEvents" in given else None,
        include_object=_include_object(given),
        pretty=_boolean(given, "pretty"),
    )
    _check_together(options)
    return options


def parse_get_options(parameters: Mapping[str, Sequence[str]]) -> ListOptions:
    given = _single(parameters, GET_PARAMETERS)
    return ListOptions(
        version=_version(given),
        timeout=_timeout(given),
        include_object=_include_object(given),
        pretty=_boolean(given, "pretty"),
    )


def _single(parameters: Mapping[str, Sequence[str]], known: frozenset[str]) -> dict[str, str]:
    given = {}
    for name, values in parameters.items():
        if name not in known:
            hint = _HINTS.get(name) or f"; known are {', '.join(sorted(known))}"
            raise BadRequest(f"unknown query parameter {name!r}{hint}")
        if len(set(values)) > 1:
            raise BadRequest(f"query parameter {name!r} is given {len(values)} times; give it once")
        given[name] = values[0]
    return given


def _integer(given: Mapping[str, str], name: str) -> int:
    text = given.get(name) or "0"
    if not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise BadRequest(f"query parameter {name!r} must be a whole number of 0 or more, not {text!r}")
    return int(text)


def _boolean(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name)
    if text is None:
        return False
    if text.lower() in ("true", "1", "t", ""):  # as Kubernetes reads them: `?watch` alone is true
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise BadRequest(f"query parameter {name!r} must be true or false, not {text!r}")


def _version(given: Mapping[str, str]) -> str:
    text = given.get("resourceVersion", "")
    if text and not re.fullmatch(r"0|[1-9]\d{0,18}", text, re.ASCII):
        raise BadRequest(f"query parameter 'resourceVersion' must be empty, 0 or a version from here, not {text!r}")
    return text


def _timeout(given: Mapping[str, str]) -> float:
    """`timeoutSeconds` (whole seconds) or `timeout` (as in 1m30s); the smaller where both are given."""
    found = [float(seconds)] if (seconds := _integer(given, "timeoutSeconds")) else []
    text = given.get("timeout", "")
    if text and text != "0":
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text:
            raise BadRequest(f"query parameter 'timeout' must be a duration as in 30s or 1m30s, not {text!r}")
        found.append(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    return min(found, default=0.0)


def _include_object(given: Mapping[str, str]) -> IncludeObject:
    match given.get("includeObject", ""):
        case "" | "Metadata":
            return "Metadata"
        case "None":
            return "None"
        case "Object":
            return "Object"
        case other:
            raise BadRequest(f"query parameter 'includeObject' must be Metadata, None or Object, not {other!r}")


def _check_together(options: ListOptions) -> None:
    initial_events_given = options.initial_events is not None
    match = options.version_match
    if match not in ("", "Exact", "NotOlderThan"):
        raise BadRequest(f"query parameter 'resourceVersionMatch' must be Exact or NotOlderThan, not {match!r}")
    if options.watch:
        if options.token:
            raise BadRequest("query parameter 'continue' is for lists; a watch begins at resourceVersion")
        if initial_events_given and match != "NotOlderThan":
            raise BadRequest("sendInitialEvents needs resourceVersionMatch=NotOlderThan")
        if match and not initial_events_given:
            raise BadRequest("resourceVersionMatch is for lists, and for watches with sendInitialEvents")
        return
    if initial_events_given:
        raise BadRequest("sendInitialEvents needs watch=true")
    if match and not options.version:
        raise BadRequest("resourceVersionMatch needs resourceVersion")
    if match == "Exact" and options.version == "0":
        raise BadRequest("resourceVersionMatch=Exact needs a resourceVersion other than 0")
    if options.token and options.version not in ("", "0"):
        raise BadRequest("resourceVersion cannot be given together with continue: the token carries it")


def _label(requirement: Requirement) -> Expression:
    if requirement.key == CLUSTER_LABEL:
        return _cluster(requirement)
    positive = Label(requirement.key, tuple(map(Glob.literal, requirement.values)))
    return Not(positive) if requirement.negative else positive


def _field(requirement: Requirement) -> Expression:
    globs = tuple(map(Glob.literal, requirement.values))
    positive: Expression
    match requirement.path:
        case ("metadata", "cluster"):
            return _cluster(requirement)
        case ("metadata", "name" | "namespace" as column) if globs:
            positive = Match(column, globs)
        case ("metadata", "labels", key):
            positive = Label(key, globs)
        case path:
            positive = Field(path, globs)
    return Not(positive) if requirement.negative else positive


def _cluster(requirement: Requirement) -> Expression:
    if not requirement.values:
        return AnyOf() if requirement.negative else EVERYTHING  # every object has a cluster
    positive = Match("cluster", tuple(map(Glob.literal, requirement.values)))
    return Not(positive) if requirement.negative else positive
