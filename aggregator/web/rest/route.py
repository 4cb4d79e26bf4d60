"""One REST operation: what it takes, what it answers, who may. Routes and OpenAPI are both made of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from aggregator.rbac.identity import Actor
from aggregator.rbac.policy import authorise
from aggregator.web.keys import ACTOR
from schema.errors import BadRequest, TooLarge, UnsupportedMediaType

MAX_BODY: Final = 1024 * 1024
_JSON_TYPES: Final = ("application/json", "application/merge-patch+json", "application/octet-stream")
"""aiohttp calls a body without a type octet-stream."""


class Parameter(NamedTuple):
    """Of the query. `schema`: JSON Schema."""

    name: str
    description: str
    schema: Mapping[str, Any] = {"type": "string"}


class Call(NamedTuple):
    """One request, checked: `path` and `query` by name, `body` of the operation's type (None where it takes none)."""

    actor: Actor
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    request: web.Request


class Answer(NamedTuple):
    """An answer that needs more than its value."""

    value: Any
    headers: Sequence[tuple[str, str]] = ()
    media_type: str = "application/json"


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Operation:
    """`id`: its name in OpenAPI and in rbac.policy. `body`, `answer`: types that msgspec knows; an answer of bytes is
    sent as it is. `reserved`: not built yet; the handler says what to use instead."""

    id: str
    method: str
    path: str
    summary: str
    handler: Handler
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    answer: Any = None
    status: int = 200
    media_type: str = "application/json"
    reserved: bool = False
    path_help: Mapping[str, str] = field(default_factory=dict)

    def route(self) -> web.RouteDef:
        return web.route(self.method, self.path, self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        actor: Actor = request[ACTOR]
        authorise(actor, self.id)
        query = self._query(request)
        body = await self._body(request)
        given = await self.handler(Call(actor, request.match_info, query, body, request))
        if isinstance(given, web.StreamResponse):
            return given
        answer = given if isinstance(given, Answer) else Answer(given)
        if answer.value is None:
            return web.Response(status=204)
        data = answer.value if isinstance(answer.value, bytes) else msgspec.json.encode(answer.value)
        response = web.Response(body=data, status=self.status, content_type=answer.media_type)
        response.headers.extend(answer.headers)
        return response

    def _query(self, request: web.Request) -> dict[str, str]:
        """Raises BadRequest for a parameter that is not known here or is given twice."""
        known = {parameter.name for parameter in self.parameters}
        for name in request.query:
            if self.reserved:
                break
            if name not in known:
                told = f"known here: {', '.join(sorted(known))}" if known else "this path takes none"
                raise BadRequest(f"unknown query parameter {name!r}; {told}")
            if len(request.query.getall(name)) > 1:
                raise BadRequest(f"the query parameter {name!r} is given more than once")
        return dict(request.query)

    async def _body(self, request: web.Request) -> Any:
        if self.body is None:
            return None
        if request.content_type not in _JSON_TYPES:
            raise UnsupportedMediaType(f"the body must be application/json, not {request.content_type}")
        data = await request.read()
        if len(data) > MAX_BODY:
            raise TooLarge(f"the body has {len(data)} bytes, more than {MAX_BODY}")
        try:
            return msgspec.json.decode(data or b"{}", type=self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the body is not what {self.id} takes: {error}") from error


def whole_number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A number of the query. Raises BadRequest with its bounds."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise BadRequest(f"{name}={text!r}: must be a whole number from {least} to {most}")
    return int(text)


def one_of(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The first of `choices` is the default. Raises BadRequest."""
    text = query.get(name, choices[0])
    if text not in choices:
        raise BadRequest(f"{name}={text!r}: must be one of {', '.join(choices)}")
    return text
