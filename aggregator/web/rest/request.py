"""Reading what a REST request says: nothing unknown passes, and every refusal names the place."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Final, TypeVar

import msgspec
import orjson
from aiohttp import web

from aggregator.rbac.identity import Actor
from schema.errors import BadRequest, UnsupportedMediaType

BODY_BYTES: Final = 1024 * 1024
T = TypeVar("T")


def actor(request: web.Request) -> Actor:
    found: Actor = request["actor"]
    return found


def parameters(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """The query parameters, each at most once. Raises BadRequest that names one that is not `known`."""
    for name in request.query:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise BadRequest(f"unknown query parameter {name!r}; known here: {listed}")
        if len(request.query.getall(name)) > 1:
            raise BadRequest(f"the query parameter {name} is given twice")
    return dict(request.query)


def whole_number(parameters: dict[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= most:
        raise BadRequest(f"{name}={text!r}: a whole number from 1 to {most} is needed")
    return int(text)


async def body(request: web.Request, kind: type[T]) -> T:
    """The JSON body as a `kind`; an empty body is `{}`. Raises BadRequest that names the field."""
    if request.content_type not in ("application/json", "application/octet-stream") and request.can_read_body:
        raise UnsupportedMediaType(f"send JSON (Content-Type: application/json), not {request.content_type}")
    data = await request.read()
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not right: {error}") from error


def answer(document: Any, status: int = 200) -> web.Response:
    if isinstance(document, msgspec.Struct):
        document = msgspec.to_builtins(document)
    return web.Response(status=status, body=orjson.dumps(document, default=_plain), content_type="application/json")


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")
