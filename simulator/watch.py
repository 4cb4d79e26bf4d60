"""The watch of one client: replay from the ring of recent changes, then changes as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from . import status
from .bookmarks import bookmark
from .lists import converted, type_meta
from .member import Member
from .objects import ADDED, DELETED, MODIFIED, Change, Held, Objects, remember_wire
from .options import Options
from .types import ServedType

BATCH = 200
"""Changes written at once to a watcher that lags."""
BOOKMARK_SECONDS = 60.0
DEFAULT_TIMEOUT = 1800.0


class Watch:
    """Yields the bytes of events, in order, until its time is over or it is cut."""

    def __init__(
        self,
        member: Member,
        served: ServedType,
        namespace: str,
        options: Options,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        self._member = member
        self._served = served
        self._objects: Objects = member.objects(served.storage)
        self._namespace = namespace
        self._options = options
        self._bookmark_seconds = bookmark_seconds
        self._head = type_meta(served)
        self._generation = member.generation
        self._deadline = time.monotonic() + (options.timeout or DEFAULT_TIMEOUT)
        self.cut = False
        """True once the watch was ended by a fault: the connection is to break, not to close in good order."""
        self._place = self._objects.written
        self._rv = member.rv
        """All changes up to this version were sent or are not for this watcher."""

    async def events(self) -> AsyncIterator[bytes]:
        initial = self._begin()
        if isinstance(initial, status.StatusError):
            yield b'{"type":"ERROR","object":%b}\n' % initial.body()
            return
        for text in initial:
            yield text
        bookmark_at = time.monotonic() + self._bookmark_seconds
        while True:
            changes = self._objects.since(self._place, BATCH)
            if changes is None:
                yield b'{"type":"ERROR","object":%b}\n' % status.expired(self._rv, self._objects.oldest).body()
                return
            if changes:
                self._place += len(changes)
                text = b"".join(filter(None, map(self._event, changes)))
                self._rv = max(self._rv, changes[-1].rv)
                if text:
                    yield text
                continue
            now = time.monotonic()
            if self._ended(now):
                return
            if self._options.bookmarks and now >= bookmark_at:
                bookmark_at = now + self._bookmark_seconds
                yield self._bookmark()
                continue
            until = min(self._deadline, bookmark_at if self._options.bookmarks else self._deadline)
            await self._objects.wait(self._place, until - now)

    def _ended(self, now: float) -> bool:
        self.cut = self._member.generation != self._generation
        return self.cut or now >= self._deadline or self._gone()

    def _gone(self) -> bool:
        served = self._served
        return served.custom and self._member.find(served.group, served.version, served.resource) is None

    # -- the beginning ---------------------------------------------------------------------------------------------

    def _begin(self) -> list[bytes] | status.StatusError:
        """Sets the place to start from; returns the events that stand for what is there already."""
        options, objects = self._options, self._objects
        if options.initial_events:
            if options.rv and options.rv > self._member.rv:
                return status.too_large(options.rv, self._member.rv)
            texts = self._present()
            if options.bookmarks:
                texts.append(self._bookmark(initial_end=True))
            return texts
        if not options.rv:
            return self._present()
        if options.rv < objects.oldest:
            return status.expired(options.rv, objects.oldest)
        # A version above the member's own is no error: changes up to it are left out in silence.
        self._rv = options.rv
        newer = sum(1 for change in objects.changes if change.rv > options.rv)
        self._place = objects.written - newer
        return []

    def _present(self) -> list[bytes]:
        chosen = self._options.selection
        walk = self._objects.walk(self._namespace)
        found = [held for _, held in walk if chosen.everything or chosen.matches(held[0])]
        return [self._text(ADDED, held) for held in found]

    # -- one event -------------------------------------------------------------------------------------------------

    def _event(self, change: Change) -> bytes | None:
        if change.rv <= self._rv:
            return None
        if self._namespace and change.row.namespace != self._namespace:
            return None
        chosen = self._options.selection
        if chosen.everything:
            return self._shared(change)
        before = change.before is not None and chosen.matches(change.before[0])
        after = change.kind != DELETED and chosen.matches(change.row)
        if not before and not after:
            return None
        kind = MODIFIED if before and after else ADDED if after else DELETED
        if kind == change.kind:
            return self._shared(change)
        row = change.before[0] if kind == DELETED and change.before else change.row
        return self._text(kind, (row, change.rv))

    def _shared(self, change: Change) -> bytes:
        """The event's bytes, made once for all watchers of this version of the type."""
        wire = change.wire
        if wire is None or wire[0] != self._served.api_version:
            text = self._text(change.kind, (change.row, change.rv))
            wire = change.wire = (self._served.api_version, text)
            remember_wire(change)
        return wire[1]

    def _text(self, kind: str, held: Held) -> bytes:
        body = converted(self._served, held[0].body(self._member.identity, held[1]))
        return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), self._head, body)

    def _bookmark(self, initial_end: bool = False) -> bytes:
        self._rv = max(self._rv, self._member.rv)
        return bookmark(self._served, max(self._member.rv, self._options.rv or 0), initial_end)
