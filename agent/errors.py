"""What can go wrong with the member's API server, by what the agent does about it.

KubeError
├── Gone            410: the version is compacted; compare and go on from a newer one
├── Unauthorized    401: the credential is refused; read it again
├── Forbidden       403: RBAC denies it; others go on
├── NotFound        404: not served (any more)
├── Conflict        409: somebody else wrote in between
├── Throttled       429: `retry_after` seconds
├── Oversized       more bytes than the agent is willing to hold
└── Unavailable     5xx, no connection, silence, or an answer that is no Kubernetes answer
"""

from __future__ import annotations

import asyncio
import re

import aiohttp
import msgspec


class KubeError(Exception):
    def __init__(self, message: str, *, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after = retry_after


class Gone(KubeError):
    pass


class Unauthorized(KubeError):
    pass


class Forbidden(KubeError):
    pass


class NotFound(KubeError):
    pass


class Conflict(KubeError):
    pass


class Throttled(KubeError):
    pass


class Oversized(KubeError):
    pass


class Unavailable(KubeError):
    pass


TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)

_BY_STATUS: dict[int, type[KubeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: Throttled,
}


_TLS = re.compile(r" ssl:(<[^>]*>|\w+)")
"""aiohttp's messages hold the object with the TLS settings, which tells nobody anything."""


class _Status(msgspec.Struct):
    kind: str = ""
    message: str = ""
    code: int = 0


def from_answer(status: int, body: bytes, retry_after: str | None, what: str) -> KubeError:
    """The error for an answer of `status`. Only a Status' message is quoted, anything else is cut short."""
    return _error(status, f"{what}: {status} {_message(body)}".rstrip(), _seconds(retry_after))


def from_event(body: bytes, what: str) -> KubeError:
    """The error for an ERROR event of a watch, whose object is a Status."""
    try:
        status = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:
        status = _Status()
    return _error(status.code, f"{what}: {status.message or 'the watch ended with an error'}", 0.0)


def from_transport(error: BaseException, what: str) -> Unavailable:
    return Unavailable(f"{what}: {in_words(error)}")


def in_words(error: BaseException) -> str:
    """What a failed connection says of itself, without what tells nobody anything."""
    return _TLS.sub("", str(error)) or type(error).__name__


def _error(status: int, message: str, retry_after: float) -> KubeError:
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 or not status else KubeError)
    return kind(message, status=status, retry_after=retry_after)


def _message(body: bytes) -> str:
    try:
        text = msgspec.json.decode(body, type=_Status).message[:500]
    except msgspec.DecodeError:
        text = body[:200].decode(errors="replace").strip()
    return text.replace("\x00", "\ufffd")  # which no text of the store can hold


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, min(float(header or 0), 300.0))
    except ValueError:
        return 0.0
