"""Requests to the aggregator: one message out, one message in, errors of `schema.errors`."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from agent.access import Access, AccessError
from agent.errors import TRANSPORT_ERRORS, in_words
from schema import errors, wire

REQUEST_SECONDS: Final = 60.0
M = TypeVar("M", bound=msgspec.Struct)


class Hub:
    """Push, heartbeat and long poll each find a connection of their own: the pool opens one per running request."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Hub:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        self._http = aiohttp.ClientSession(connector=connector, skip_auto_headers=("User-Agent", "Accept-Encoding"))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http:
            await self._http.close()

    async def call(self, path: str, message: msgspec.Struct, kind: type[M], timeout: float = REQUEST_SECONDS) -> M:
        """Raises errors.FleetpediaError; Unavailable where the aggregator does not answer, or not in time."""
        if self._http is None:
            raise RuntimeError("Hub is used outside its async with")
        url = f"{self.access.server}/agent/v1/{path}"
        try:
            headers = {**self.access.headers(), "Content-Type": wire.CONTENT_TYPE}
            tls = self.access.tls()
        except (AccessError, OSError) as error:
            raise errors.Unauthorized(f"the agent's credential cannot be read: {error}") from error
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(url, wire.pack(message), headers, tls, kind)
        except TRANSPORT_ERRORS as error:
            raise errors.Unavailable(f"{url}: {in_words(error)}") from error

    async def _exchange(
        self, url: str, data: bytes, headers: dict[str, str], tls: ssl.SSLContext | bool, kind: type[M]
    ) -> M:
        assert self._http is not None
        async with self._http.post(
            url,
            data=data,
            headers=headers,
            ssl=tls,
            proxy=self.access.proxy,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise _error(answer.status, body, answer.headers.get("Retry-After"), url)
            try:
                return wire.unpack(body, kind)
            except (errors.BadRequest, errors.TooLarge) as error:
                # The aggregator did not answer so; nothing is said about what we sent.
                raise errors.Unavailable(f"{url}: the answer cannot be read: {error.message}") from error


class _Failure(msgspec.Struct):
    reason: str = ""
    message: str = ""
    details: dict[str, Any] = {}


_KINDS: Final[tuple[type[errors.FleetpediaError], ...]] = (
    errors.Fenced,
    errors.BadRequest,
    errors.Unauthorized,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.Expired,
    errors.TooLarge,
    errors.Unprocessable,
    errors.TooManyRequests,
    errors.Unavailable,
)
_OURS: Final = (errors.Fenced, errors.BadRequest)
"""Only by the aggregator's own word. A proxy's 400 is weather: by ours, an object is set aside."""


def _error(status: int, body: bytes, retry_after: str | None, url: str) -> errors.FleetpediaError:
    try:
        failure = msgspec.json.decode(body, type=_Failure)
    except msgspec.DecodeError:
        failure = _Failure(message=body[:200].decode(errors="replace"))
    message = f"{failure.message} ({status} from {url})"
    if failure.reason == errors.Gap.reason and isinstance(failure.details.get("acked"), int):
        return errors.Gap(message, acked=failure.details["acked"])
    kind: type[errors.FleetpediaError] = errors.Unavailable
    for one in _KINDS:
        if one.status == status and (one.reason == failure.reason or one not in _OURS):
            kind = one
            break
    try:
        seconds = min(float(retry_after), 300.0) if retry_after else None
    except ValueError:
        seconds = None
    return kind(message, details=failure.details, retry_after=seconds)
