"""Change rows → events of a question's result: what enters, changes in and leaves the selection (traps 4).

The body of an event is the row's at sending time (of a delete, the change's own); its resourceVersion is the change's
cursor. An object that is gone by then is skipped: its delete follows in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from aggregator.rbac.scope import Scope
from aggregator.search.match import Matcher, State
from aggregator.search.query import Query
from aggregator.search.run import Want
from aggregator.storage import objects
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import Change
from aggregator.storage.objects import Key, Row
from aggregator.storage.pool import Database
from schema.errors import Expired

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
MOST_BODIES = 200
"""Rows read at a time for events."""


class Event(NamedTuple):
    type: EventType
    row: Row
    """`cursor` is that of the change. For an object that left the selection and then vanished without a trace,
    `body` is None."""


class Watcher:
    """Turns changes into events for one question, in order."""

    def __init__(self, database: Database, catalog: Catalog, query: Query, scope: Scope, want: Want) -> None:
        """Raises BadRequest as Matcher does."""
        self._database, self._catalog = database, catalog
        self._query, self._scope = query, scope
        self._columns = objects.columns(cells=want.cells, body=want.body)
        self._generation = catalog.generation
        self._matcher = Matcher(query, scope, catalog)

    async def events(self, changes: Sequence[Change]) -> list[Event]:
        """Raises Expired where a whole cluster of the answer was removed: list again (traps 5). Unavailable."""
        if self._generation != self._catalog.generation:
            self._generation = self._catalog.generation
            self._matcher = Matcher(self._query, self._scope, self._catalog)
        wanted = [(change, type) for change in changes if (type := self._event_type(change)) is not None]
        rows = await self._rows([change for change, _ in wanted if change.op != "deleted"])
        found = []
        for change, type in wanted:
            row = _final(change) if change.op == "deleted" else rows.get(_key(change))
            if row is None or row.uid != change.uid:
                if type != "DELETED":
                    continue
                row = await self._last(change)
            found.append(Event(type, row._replace(cursor=change.cursor)))
        return found

    def _event_type(self, change: Change) -> EventType | None:
        if change.op == "cluster-removed":
            if self._matcher.saw_cluster(change.name):
                raise Expired("a cluster was removed from the fleet; list again")
            return None
        before = change.op != "added" and self._matcher.matches(_state(change, before=True))
        after = change.op != "deleted" and self._matcher.matches(_state(change, before=False))
        if before:
            return "MODIFIED" if after else "DELETED"
        return "ADDED" if after else None

    async def _rows(self, changes: Sequence[Change]) -> dict[Key, Row]:
        keys = list({_key(change) for change in changes})
        found: dict[Key, Row] = {}
        for start in range(0, len(keys), MOST_BODIES):
            found |= await objects.by_keys(self._database, keys[start : start + MOST_BODIES], self._columns)
        return found

    async def _last(self, change: Change) -> Row:
        """The last state of an object that left the selection and is gone: from its delete, which this watch skips."""
        last = await objects.last_state(self._database, change.cluster_id, change.type_id, change.uid, change.cursor)
        return last if last is not None else _final(change)


def _state(change: Change, *, before: bool) -> State:
    labels, fields = change.labels, change.fields
    if before:
        labels = change.labels if change.labels_before is None else change.labels_before
        fields = change.fields if change.fields_before is None else change.fields_before
    return State(change.cluster_id, change.type_id, change.namespace, change.name, change.uid, labels, fields)


def _key(change: Change) -> Key:
    return Key(change.cluster_id, change.type_id, change.namespace, change.name)


def _final(change: Change) -> Row:
    return Row(
        change.cluster_id,
        change.type_id,
        change.namespace,
        change.name,
        change.uid,
        change.cursor,
        change.resource_version,
        "",
        change.created,
        change.labels,
        change.cells,
        change.layout,
        change.body,
    )
