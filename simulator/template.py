"""Bodies as byte templates: a JSON text with holes, filled by one `%`, because a body must cost microseconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import orjson

COMMON = ("namespace", "name", "uid", "rv", "owner", "hex")
"""The holes every template may have, in the order in which `Row.body` fills them; the row's own values follow."""

_HOLE = re.compile(rb'"@!([a-z0-9]+)@"|@([a-z0-9]+)@')
"""`@name@` inside a JSON string, `"@!name@"` where the value is not a string (a number, a ready piece of JSON)."""


def go_json(value: Any, sort_keys: bool = False) -> bytes:
    """JSON as Go's encoder writes it: no spaces, keys as they come, `<`, `>` and `&` escaped."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    return text.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


class Template:
    """One compiled text. `key` finds it again after a restart; `labels` and `fields` are what selectors look at."""

    __slots__ = ("fields", "format", "key", "labels", "needs_hex", "needs_owner", "pick", "values")

    def __init__(
        self,
        key: tuple[Any, ...],
        body: dict[str, Any],
        values: Sequence[str] = (),
        fields: dict[str, str] | None = None,
        sort_keys: bool = False,
    ) -> None:
        """`body` is the object without apiVersion and kind; `values` names the holes that the row's values fill;
        `sort_keys` is for custom resources, which servers keep as maps."""
        self.key = key
        self.labels: dict[str, str] = body["metadata"].get("labels", {})
        self.fields = fields or {}
        self.values = tuple(values)
        order = {name: index for index, name in enumerate((*COMMON, *values))}
        indexes: list[int] = []

        def hole(match: re.Match[bytes]) -> bytes:
            name = (match[1] or match[2]).decode()
            if name not in order:
                raise ValueError(f"template {key}: nothing fills the hole {name!r}; known: {', '.join(order)}")
            indexes.append(order[name])
            return b"%b"

        text = go_json(body, sort_keys)[1:].replace(b"%", b"%%")
        self.format = _HOLE.sub(hole, text)
        self.needs_hex = order["hex"] in indexes
        self.needs_owner = order["owner"] in indexes
        pick: Callable[[tuple[bytes, ...]], Any] = itemgetter(*indexes)
        self.pick = pick
