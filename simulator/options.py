"""The query parameters of list and watch, checked as the API server checks them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from . import status
from .rows import Identity
from .selectors import Selection, parse_fields, parse_labels
from .types import ServedType


@dataclass(frozen=True, slots=True)
class Options:
    """ListOptions. `rv` is None when none was given; 0 means any version."""

    selection: Selection
    watch: bool
    bookmarks: bool
    rv: int | None
    match: str
    timeout: float
    limit: int
    start: bytes
    """Where a page begins (a key, exclusive, when not empty)."""
    sent: int
    """How many items the pages before had."""
    initial_events: bool


def _flag(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "")
    if value in ("", "false", "0", "f", "F", "False", "FALSE"):
        return name in query and value == ""
    return True


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError as error:
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def _version(text: str, watch: bool) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        if watch:
            raise status.bad_watch_version(text)
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise status.bad_request(f"invalid resource version: {message}")
    return int(text)


def encode_continue(rv: int, key: bytes, sent: int) -> str:
    """The token for the page after `key`; `n` counts what was sent, for remainingItemCount."""
    token = {"v": "meta.k8s.io/v1", "rv": rv, "start": key.decode() + "\u0000", "n": sent}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def _decode_continue(text: str) -> tuple[int, bytes, int]:
    try:
        token = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return int(token["rv"]), str(token["start"]).encode(), int(token.get("n", 0))
    except (ValueError, KeyError, TypeError) as error:
        raise status.bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def parse(query: Mapping[str, str], served: ServedType, identity: Identity, watch: bool) -> Options:
    """Raises StatusError 400 and 422 for what the API server refuses; parameters it does not know it ignores."""
    watch = watch or _flag(query, "watch")
    selection = Selection(
        parse_labels(query.get("labelSelector", "")),
        parse_fields(query.get("fieldSelector", ""), served.storage, served.custom),
        identity,
    )
    rv_text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial = _flag(query, "sendInitialEvents")
    _check_match(query, rv_text, match, watch)
    rv, start, sent = _version(rv_text, watch), b"", 0
    token = query.get("continue", "")
    if token and not watch:
        if rv_text not in ("", "0"):
            raise status.bad_request("specifying resource version is not allowed when using continue")
        rv, start, sent = _decode_continue(token)
        match = "Exact"
    return Options(
        selection=selection,
        watch=watch,
        bookmarks=_flag(query, "allowWatchBookmarks"),
        rv=rv,
        match=match,
        timeout=float(_number(query, "timeoutSeconds")),
        limit=max(_number(query, "limit"), 0),
        start=start,
        sent=sent,
        initial_events=initial,
    )


def _check_match(query: Mapping[str, str], rv: str, match: str, watch: bool) -> None:
    field = "resourceVersionMatch"
    if watch:
        if "sendInitialEvents" in query and match != "NotOlderThan":
            problems = [(field, "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")]
            if match:
                problems.append((field, f'Unsupported value: "{match}": supported values: "NotOlderThan"'))
            raise status.invalid_options(*problems)
        if match and "sendInitialEvents" not in query:
            problem = f"Forbidden: {field} is forbidden for watch unless sendInitialEvents is provided"
            raise status.invalid_options((field, problem))
        return
    if "sendInitialEvents" in query:
        problem = "Forbidden: sendInitialEvents is forbidden for list"
        raise status.invalid_options(("sendInitialEvents", problem))
    if not match:
        return
    if query.get("continue"):
        raise status.invalid_options((field, f"Forbidden: {field} is forbidden when continue is provided"))
    if not rv:
        raise status.invalid_options((field, f"Forbidden: {field} is forbidden unless resourceVersion is provided"))
    if match not in ("Exact", "NotOlderThan"):
        problem = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise status.invalid_options((field, problem))
    if match == "Exact" and rv == "0":
        problem = f'Forbidden: {field} "exact" is forbidden for resourceVersion "0"'
        raise status.invalid_options((field, problem))
