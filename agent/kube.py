"""The only code that talks to an API server. Raw bytes in, raw bytes out; no model objects.

Every failure is one of `agent.errors`. One connection per running request (HTTP/1.1): about one per watched type."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from agent import errors
from agent.access import Access, AccessError
from agent.errors import KubeError, Oversized, Throttled, Unavailable
from agent.lines import Lines

PAGE: Final = 500
GOOD_PAGE_BYTES: Final = 2 * 1024 * 1024
"""What the limit of the next page is chosen for, by the size of this one's objects: large objects, short pages."""
MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
"""A page above it is asked for again with a smaller limit."""
PAGE_TRIES: Final = 4
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
"""What even a page of one object, or of a server that knows no limit, may not exceed."""
GRACE_SECONDS: Final = 30.0
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
LISTS_AT_A_TIME: Final = 4
REQUEST_SECONDS: Final = 60.0
WATCH_SECONDS: Final = (300, 600)
SILENCE_SECONDS: Final = 150.0
"""A watch that has had a bookmark and then no byte for so long is dead: they come about each minute. Types that the
server does not cache (Events) have none: those end when they were asked to."""
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
JSON: Final = "application/json"


class Page(NamedTuple):
    version: str
    items: list[msgspec.Raw]


class Event(NamedTuple):
    """`kind`: ADDED, MODIFIED, DELETED or BOOKMARK."""

    kind: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815 (Kubernetes' own spelling, here and below)
    remainingItemCount: int | None = None  # noqa: N815
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_list = msgspec.json.Decoder(_List)
_event = msgspec.json.Decoder(_Event)


class Kube:
    def __init__(self, access: Access) -> None:
        self.access = access
        self.seen = 0.0
        """time.monotonic of the last sign of life; 0 = never."""
        self.message = "not asked yet"
        """Why the last request failed; empty where it did not."""
        self.connections = 0
        self._lists = asyncio.Semaphore(LISTS_AT_A_TIME)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Kube:
        connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket, keepalive_timeout=30)
        self._http = aiohttp.ClientSession(
            connector=connector, auto_decompress=True, skip_auto_headers=("User-Agent", "Accept-Encoding")
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http:
            await self._http.close()

    # -- single answers -------------------------------------------------------------------------------------------
    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        accept: str = JSON,
        limit: int = MAX_ANSWER_BYTES,
        timeout: float = REQUEST_SECONDS,
    ) -> bytes:
        return await self.ask("GET", path, params, accept=accept, limit=limit, timeout=timeout)

    async def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        accept: str = JSON,
        limit: int = MAX_ANSWER_BYTES,
        timeout: float = REQUEST_SECONDS,
    ) -> bytes:
        """The whole answer, at most `limit` bytes (else Oversized), within `timeout` seconds."""
        what = f"{method} {path}"
        try:
            async with asyncio.timeout(timeout), self._open(method, path, params, accept, body) as answer:
                return await self._read(answer, limit, what)
        except errors.TRANSPORT_ERRORS as error:
            raise self._failed(error, what) from error

    async def get_if_changed(self, path: str, etag: str, *, accept: str) -> tuple[bytes | None, str, str]:
        """(body or None where the server says it is unchanged, its ETag, its content type)."""
        what = f"GET {path}"
        headers = {"If-None-Match": etag} if etag else {}
        try:
            async with asyncio.timeout(REQUEST_SECONDS), self._open("GET", path, None, accept, None, headers) as answer:
                if answer.status == 304:
                    return None, etag, ""
                body = await self._read(answer, MAX_ANSWER_BYTES, what)
                return body, answer.headers.get("ETag", ""), answer.content_type_of_server
        except errors.TRANSPORT_ERRORS as error:
            raise self._failed(error, what) from error

    async def list_version(self, path: str) -> tuple[str, int]:
        """Version and object count of a list, by a quorum read: the cache may lag, or run ahead of a restore."""
        data = await self.get(path, {"limit": "1"}, accept=METADATA_LIST)
        page = _decode_list(data, path)
        return page.metadata.resourceVersion, len(page.items or ()) + (page.metadata.remainingItemCount or 0)

    # -- lists ----------------------------------------------------------------------------------------------------
    async def pages(self, path: str, *, exactly: str = "", limit: int = PAGE) -> AsyncGenerator[Page, None]:
        """A list, page by page, the next one fetched meanwhile; all pages are of one version.

        `exactly`: of that version, Gone where it is not kept. Gone too when the list outlives its version."""
        params = {"limit": str(limit)}
        if exactly:
            params |= {"resourceVersion": exactly, "resourceVersionMatch": "Exact"}
        async with self._lists:
            fetching = asyncio.create_task(self._page(path, params))
            try:
                while True:
                    page, params = await fetching
                    if params:
                        fetching = asyncio.create_task(self._page(path, params))
                    yield Page(page.metadata.resourceVersion, page.items or [])
                    if not params:
                        return
            finally:
                fetching.cancel()
                await asyncio.gather(fetching, return_exceptions=True)

    async def _page(self, path: str, params: dict[str, str]) -> tuple[_List, dict[str, str]]:
        """One page and the parameters of the next, {} at the end."""
        limit, tries = int(params["limit"]), 0
        while True:
            try:
                cap = MAX_PAGE_BYTES if limit > 1 else MAX_ANSWER_BYTES
                data = await self.get(path, {**params, "limit": str(limit)}, limit=cap)
                break
            except Oversized:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)
            except (Throttled, Unavailable) as error:
                # One page that fails must not cost the pages before it.
                tries += 1
                if tries >= PAGE_TRIES:
                    raise
                await asyncio.sleep(max(error.retry_after, random.uniform(0.2, 0.6) * tries))
        page = _decode_list(data, path)
        if not page.metadata.continue_:
            return page, {}
        fitting = GOOD_PAGE_BYTES * len(page.items or ()) // max(1, len(data))
        return page, {"limit": str(max(1, min(PAGE, limit * 2, fitting))), "continue": page.metadata.continue_}

    # -- watches --------------------------------------------------------------------------------------------------
    def watch(self, path: str, version: str, *, accept: str = JSON) -> Watch:
        return Watch(self, path, version, accept)

    # -- below ----------------------------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        accept: str,
        body: bytes | None = None,
        more: Mapping[str, str] | None = None,
    ) -> AsyncIterator[_Answer]:
        """An answer that is not an error. The caller bounds the time."""
        if self._http is None:
            raise RuntimeError("Kube is used outside its async with")
        what = f"{method} {path}"
        try:
            await self.access.prepare()
            headers = {**self.access.headers(), "Accept": accept, "Accept-Encoding": "identity", **(more or {})}
            tls = self.access.tls()
        except (AccessError, OSError) as error:
            self.message = f"the credential cannot be read: {error}"
            raise Unavailable(self.message) from error
        if body is not None:
            headers["Content-Type"] = JSON
        async with self._http.request(
            method,
            self.access.server + path,
            params=params,
            headers=headers,
            data=body,
            ssl=tls,
            proxy=self.access.proxy,
            server_hostname=self.access.server_name or None,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            allow_redirects=False,
        ) as answer:
            self.connections += 1
            try:
                if answer.status >= 300 and answer.status != 304:
                    await self._refuse(answer, what)
                self._alive()
                yield _Answer(answer)
            finally:
                self.connections -= 1

    async def _refuse(self, answer: aiohttp.ClientResponse, what: str) -> None:
        text = await answer.content.read(65_536)
        error = errors.from_answer(answer.status, text, answer.headers.get("Retry-After"), what)
        if answer.status == 401:
            try:
                await self.access.prepare(refused=True)
            except AccessError as trouble:
                self.message = str(trouble)
                raise Unavailable(self.message) from trouble
        if answer.status == 401 or answer.status >= 500:
            self.message = error.message
        else:
            self._alive()
        raise error

    async def _read(self, answer: _Answer, limit: int, what: str) -> bytes:
        parts, size = [], 0
        async for part in answer.chunks():
            size += len(part)
            if size > limit:
                raise Oversized(f"{what}: the answer has more than {limit} bytes")
            parts.append(part)
        self._alive()
        return b"".join(parts)

    def _alive(self) -> None:
        self.seen = time.monotonic()
        self.message = ""

    def _failed(self, error: BaseException, what: str) -> KubeError:
        failure = errors.from_transport(error, what)
        self.message = failure.message
        return failure


class _Answer:
    """What the rest needs of aiohttp's answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = answer.headers

    @property
    def content_type_of_server(self) -> str:
        return self.headers.get("Content-Type", "")

    def chunks(self) -> Any:
        return self._answer.content.iter_any()

    def close(self) -> None:
        self._answer.close()


class Watch:
    """One watch request: iterate over lists of events until the server ends it. Gone where `version` is compacted.

    The server is asked to end it after a random 5–10 minutes, so that many agents' watches do not end together."""

    def __init__(self, kube: Kube, path: str, version: str, accept: str) -> None:
        self._kube, self._path, self._version, self._accept = kube, path, version, accept
        self._answer: _Answer | None = None
        self.closed = False

    def close(self) -> None:
        """End it from outside; the iteration stops without an error."""
        self.closed = True
        if self._answer:
            self._answer.close()

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Yields an empty list as soon as the watch stands."""
        what, seconds = f"watch {self._path}", random.randint(*WATCH_SECONDS)
        params = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        silence = seconds + GRACE_SECONDS
        lines = Lines(MAX_EVENT_BYTES)
        kube = self._kube
        try:
            async with asyncio.timeout(30) as deadline, kube._open("GET", self._path, params, self._accept) as answer:
                self._answer = answer
                if self.closed:
                    return
                deadline.reschedule(_within(silence))
                yield []
                async for chunk in answer.chunks():
                    kube._alive()
                    events = [_decoded(line, what) for line in lines.feed(chunk)]
                    if any(event.kind == "BOOKMARK" for event in events):
                        silence = SILENCE_SECONDS
                    if events:
                        # While the events are worked off (a full buffer may take long) silence is our own.
                        deadline.reschedule(None)
                        yield events
                    deadline.reschedule(_within(silence))
        except errors.TRANSPORT_ERRORS as error:
            if not self.closed:
                raise kube._failed(error, what) from error


def _within(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _decoded(line: bytes, what: str) -> Event:
    try:
        event = _event.decode(line)
    except msgspec.DecodeError as error:
        raise Unavailable(f"{what}: a line is no watch event: {error}") from error
    if event.type == "ERROR":
        raise errors.from_event(bytes(event.object), what)
    return Event(event.type, event.object)


def _decode_list(data: bytes, path: str) -> _List:
    try:
        return _list.decode(data)
    except msgspec.DecodeError as error:
        raise Unavailable(f"GET {path}: the answer is no Kubernetes list: {error}") from error


def _socket(info: Any) -> socket.socket:
    """A TCP socket that notices within about 30 s that the other side has vanished without a word."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
