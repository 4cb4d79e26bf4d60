"""Does each row still follow from its body? Everything that is derived is derived anew and compared.

A row that fails gets the fingerprint 0, which no object has: the next digest differs in its bucket, the agent sends the
object again, and an untouched neighbour is left alone. A directive asks for that comparison at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
import orjson
import zstandard

from aggregator.metrics import Metrics
from aggregator.storage import directives
from aggregator.storage.pool import Connections, Database
from schema.body import Metadata, bucket, fingerprint
from schema.errors import Unavailable
from schema.lossy import replaced
from schema.printing import encode_cells
from schema.resource import ResourceType
from schema.summary import Summary, columns_for, summariser
from schema.wire import MAX_OBJECT_BYTES

log = logging.getLogger(__name__)
STEP_ROWS: Final = 200
SHARE: Final = 0.2
"""Of the time that a scrub may work; the rest it sleeps, so that batches and questions do not feel it."""


class Difference(NamedTuple):
    """`columns`: what does not follow from the body. `fingerprint`: the row's, by which it is known to be the same."""

    namespace: str
    name: str
    bucket: int
    fingerprint: int
    columns: list[str]


class Subject(NamedTuple):
    """One type of one cluster, with what its rows were derived by."""

    cluster_id: int
    cluster: str
    type_id: int
    definition: ResourceType
    shape: str


class _Object(msgspec.Struct):
    metadata: Metadata


class Deriver:
    """Makes the columns of one type's rows from their bodies, as the agent made them."""

    def __init__(self, subject: Subject):
        type = subject.definition
        self._shape = subject.shape
        self._summarise = summariser(type.group, type.resource, type.kind, type.columns, type.selectable_fields)
        self._columns = len(columns_for(type.group, type.resource, type.columns))
        self._inflate = zstandard.ZstdDecompressor().decompress
        self._decode = msgspec.json.Decoder(_Object).decode

    def differing(self, row: Any) -> tuple[bytes | None, list[str]]:
        """(body inflated or None, columns of `row` that do not follow from it)."""
        try:
            # A damaged head may claim any size, and zstd allocates what it claims.
            if not 0 <= zstandard.frame_content_size(row["body"]) <= MAX_OBJECT_BYTES:
                return None, ["body"]
            body = self._inflate(row["body"])
            meta = self._decode(body).metadata
        except (zstandard.ZstdError, msgspec.DecodeError):
            return None, ["body"]
        summary = self._summary(body, meta.name)
        labels = {f"{key}={value}" for key, value in (meta.labels or {}).items()} | set(meta.labels or {})
        expected = {
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "fingerprint": fingerprint(self._shape, meta.uid, row["resource_version"], body),
            "bucket": bucket(meta.namespace, meta.name),
            "size": len(body),
            "owners": [owner.uid for owner in meta.ownerReferences or () if owner.uid],
        }
        wrong = [column for column, value in expected.items() if row[column] != value]
        if not row["lossy"]:  # there, columns hold U+FFFD where the body has what Postgres refuses
            exact = {"status": summary.status, "fields": summary.fields}
            wrong += [column for column, value in exact.items() if row[column] != value]
            if set(row["labels"]) != labels:
                wrong.append("labels")
            if _cells(row["cells"]) != orjson.loads(encode_cells(summary.cells)):
                wrong.append("cells")
        return body, wrong

    def _summary(self, body: bytes, name: str) -> Summary:
        try:
            return self._summarise(body)
        except msgspec.DecodeError:
            return Summary([name, *[""] * (self._columns - 1)], "", [])


async def subjects(readers: Connections, cluster_id: int | None = None) -> list[Subject]:
    """Types that are in sync; only of those it is known by which shape their rows were made."""
    rows = await readers.fetch(_SUBJECTS, cluster_id)
    return [
        Subject(
            row["cluster_id"],
            row["name"],
            row["type_id"],
            msgspec.json.decode(row["definition"], type=ResourceType),
            row["shape"],
        )
        for row in rows
    ]


async def differences(database: Database, subject: Subject) -> AsyncIterator[list[Difference]]:
    """Compare all rows of one type; one list per step of STEP_ROWS rows. Changes nothing."""
    deriver = Deriver(subject)
    after = ("", "")
    while True:
        rows = await database.readers.fetch(_ROWS, subject.cluster_id, subject.type_id, *after, STEP_ROWS)
        if not rows:
            return
        found, right = [], []
        for row in rows:
            body, wrong = deriver.differing(row)
            difference = Difference(row["namespace"], row["name"], row["bucket"], row["fingerprint"], wrong)
            if wrong or body is None:
                found.append(difference)
            else:
                right.append((difference, replaced(body) if row["lossy"] else body))
        yield found + await _jsonb_differs(database, subject, right)
        after = (rows[-1]["namespace"], rows[-1]["name"])


async def mark(database: Database, subject: Subject, found: list[Difference]) -> None:
    """Have the next comparison heal `found`, and ask for it."""
    keys = zip(*((row.namespace, row.name, row.fingerprint) for row in found), strict=True)
    async with database.writers.transaction() as connection:
        marked = await connection.fetch(_MARK, subject.cluster_id, subject.type_id, subject.shape, *keys)
        if marked:
            await directives.add(connection, subject.cluster_id, "relist", {"types": [subject.definition.name]})


class Scrub:
    """Goes over all rows, then waits until `interval` seconds have passed since it began."""

    def __init__(self, database: Database, metrics: Metrics, interval: float = 3600.0):
        self._database = database
        self._metrics = metrics
        self._interval = interval

    async def run(self) -> None:
        """For ever."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(min(self._interval, 60.0) / 2)
            try:
                await self.once(SHARE)
            except Unavailable as error:
                log.warning("the scrub begins again later: %s", error)
            except Exception:  # it looks for damage: whatever that does, the process goes on
                log.exception("the scrub failed; it begins again later")
            await asyncio.sleep(max(1.0, self._interval - (time.monotonic() - begun)))

    async def once(self, share: float = 1.0) -> int:
        """One pass; returns how many rows did not follow from their bodies."""
        count = 0
        for subject in await subjects(self._database.readers):
            begun = time.monotonic()
            async for found in differences(self._database, subject):
                if found:
                    count += len(found)
                    await self._heal(subject, found)
                worked = time.monotonic() - begun
                await asyncio.sleep(worked * (1 / share - 1))
                begun = time.monotonic()
            await self._recount(subject)
        return count

    async def _recount(self, subject: Subject) -> None:
        async with self._database.writers.transaction() as connection:
            # Nothing else writes the cluster's rows from here on; the count must be a statement of its own to see them.
            await connection.execute(_LOCK, subject.cluster_id)
            await connection.execute(_RECOUNT, subject.cluster_id, subject.type_id)

    async def _heal(self, subject: Subject, found: list[Difference]) -> None:
        name = subject.definition.name
        for difference in found[:20]:
            log.warning(
                "scrub: cluster %s, type %s, bucket %d: %s/%s does not follow from its body in %s",
                subject.cluster, name, difference.bucket, difference.namespace, difference.name,
                ", ".join(difference.columns),
            )  # fmt: skip
        self._metrics.scrubbed.labels(subject.cluster, name).inc(len(found))
        await mark(self._database, subject, found)


async def _jsonb_differs(
    database: Database, subject: Subject, right: list[tuple[Difference, bytes]]
) -> list[Difference]:
    """Those of `right` (with what the JSONB column should say) whose JSONB is another."""
    if not right:
        return []
    columns = zip(*((row.namespace, row.name, row.fingerprint, text) for row, text in right), strict=True)
    try:
        rows = await database.readers.fetch(_JSONB, subject.cluster_id, subject.type_id, *columns)
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError):
        # A body that JSONB cannot hold, in a row that does not say so (lossy): halved until it is alone.
        if len(right) == 1:
            return [right[0][0]._replace(columns=["object"])]
        half = len(right) // 2
        first = await _jsonb_differs(database, subject, right[:half])
        return first + await _jsonb_differs(database, subject, right[half:])
    differing = {(row[0], row[1]) for row in rows}
    return [row._replace(columns=["object"]) for row, _ in right if (row.namespace, row.name) in differing]


def _cells(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


_SUBJECTS = """
select t.cluster_id, c.name, t.type_id, t.definition, t.shape
  from fleet.cluster_type t join fleet.cluster c on c.id = t.cluster_id
 where t.state = 'Synced' and t.shape <> '' and not c.removing and ($1::integer is null or c.id = $1)
 order by 1, 3"""
_ROWS = """
select namespace, name, uid, resource_version, fingerprint, bucket, lossy, status, owners, labels, fields, cells, size,
       body
  from fleet.object
 where cluster_id = $1 and type_id = $2 and (namespace, name) > ($3, $4) order by namespace, name limit $5"""
# A row that was written since it was read has another fingerprint and is left alone.
_JSONB = """
select o.namespace, o.name from fleet.object o
  join unnest($3::text[], $4::text[], $5::bigint[], $6::jsonb[]) as b(namespace, name, fingerprint, object)
    on o.namespace = b.namespace and o.name = b.name and o.fingerprint = b.fingerprint
 where o.cluster_id = $1 and o.type_id = $2 and o.object <> b.object"""
_MARK = """
update fleet.object o set fingerprint = 0
  from unnest($4::text[], $5::text[], $6::bigint[]) as k(namespace, name, fingerprint)
 where o.cluster_id = $1 and o.type_id = $2 and o.namespace = k.namespace and o.name = k.name
   and o.fingerprint = k.fingerprint and o.fingerprint <> 0
   and exists (select from fleet.cluster_type t where t.cluster_id = $1 and t.type_id = $2 and t.shape = $3
                 and t.state = 'Synced')
returning 1"""
_LOCK = "select 1 from fleet.session where cluster_id = $1 for update"
_RECOUNT = """
update fleet.cluster_type t set objects = counted.n
  from (select count(*) as n from fleet.object where cluster_id = $1 and type_id = $2) as counted
 where t.cluster_id = $1 and t.type_id = $2 and t.objects <> counted.n"""
