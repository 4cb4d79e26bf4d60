"""Does each row still follow from its body? Everything that is derived is derived anew and compared.

A row that fails gets the fingerprint 0, which no object has: the next digest differs in its bucket, the agent sends the
object again, and an untouched neighbour is left alone. A directive asks for that comparison at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec
import orjson
import zstandard

from aggregator.metrics import Metrics
from aggregator.storage import directives
from aggregator.storage.pool import Connections, Database
from schema.body import Metadata, bucket, fingerprint
from schema.errors import Unavailable
from schema.printing import encode_cells
from schema.resource import ResourceType
from schema.summary import Summary, columns_for, summariser
from schema.wire import MAX_OBJECT_BYTES

log = logging.getLogger(__name__)
STEP_ROWS: Final = 200
SHARE: Final = 0.2
"""Of the time that a scrub may work; the rest it sleeps, so that batches and questions do not feel it."""


class Difference(NamedTuple):
    """`columns`: what does not follow from the body."""

    namespace: str
    name: str
    bucket: int
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
            body = self._inflate(row["body"], max_output_size=MAX_OBJECT_BYTES)
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
    return [Subject(*row[:3], msgspec.json.decode(row[3], type=ResourceType), row[4]) for row in rows]


async def differences(database: Database, subject: Subject) -> AsyncIterator[list[Difference]]:
    """Compare all rows of one type; one list per step of STEP_ROWS rows. Changes nothing."""
    deriver = Deriver(subject)
    after = ("", "")
    while True:
        rows = await database.readers.fetch(_ROWS, subject.cluster_id, subject.type_id, *after, STEP_ROWS)
        if not rows:
            return
        found, bodies = {}, {}
        for row in rows:
            body, wrong = deriver.differing(row)
            key = (row["namespace"], row["name"])
            if wrong:
                found[key] = Difference(*key, row["bucket"], wrong)
            elif body is not None and not row["lossy"]:
                bodies[key] = body
        for key in await _jsonb_differs(database, subject, bodies):
            found[key] = Difference(*key, bucket(*key), ["object"])
        yield list(found.values())
        after = (rows[-1]["namespace"], rows[-1]["name"])


async def mark(database: Database, subject: Subject, found: list[Difference]) -> None:
    """Have the next comparison heal `found`, and ask for it."""
    namespaces, names = [difference.namespace for difference in found], [difference.name for difference in found]
    async with database.writers.transaction() as connection:
        marked = await connection.fetch(_MARK, subject.cluster_id, subject.type_id, subject.shape, namespaces, names)
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
            await self._database.writers.execute(_RECOUNT, subject.cluster_id, subject.type_id)
        return count

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
    database: Database, subject: Subject, bodies: dict[tuple[str, str], bytes]
) -> list[tuple[str, str]]:
    if not bodies:
        return []
    namespaces, names = [key[0] for key in bodies], [key[1] for key in bodies]
    rows = await database.readers.fetch(
        _JSONB, subject.cluster_id, subject.type_id, namespaces, names, list(bodies.values())
    )
    return [(row[0], row[1]) for row in rows]


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
select namespace, name, uid, resource_version, fingerprint, bucket, lossy, status, owners, labels, fields, cells, size, body
  from fleet.object
 where cluster_id = $1 and type_id = $2 and (namespace, name) > ($3, $4) order by namespace, name limit $5"""
# A row that was written since is left alone: its fingerprint is that of the new body, and its version another.
_JSONB = """
select o.namespace, o.name from fleet.object o
  join unnest($3::text[], $4::text[], $5::jsonb[]) as b(namespace, name, object)
    on o.namespace = b.namespace and o.name = b.name
 where o.cluster_id = $1 and o.type_id = $2
   and jsonb_set(o.object, '{metadata,resourceVersion}', '""', false)
       <> jsonb_set(b.object, '{metadata,resourceVersion}', '""', false)"""
_MARK = """
update fleet.object o set fingerprint = 0
  from unnest($4::text[], $5::text[]) as k(namespace, name)
 where o.cluster_id = $1 and o.type_id = $2 and o.namespace = k.namespace and o.name = k.name and o.fingerprint <> 0
   and exists (select from fleet.cluster_type t where t.cluster_id = $1 and t.type_id = $2 and t.shape = $3)
returning 1"""
_RECOUNT = """
with session as materialized (
  select cluster_id from fleet.session where cluster_id = $1 for update
), counted as (
  select count(*) as n from session join fleet.object o using (cluster_id) where o.type_id = $2
)
update fleet.cluster_type t set objects = counted.n from counted
 where t.cluster_id = $1 and t.type_id = $2 and t.objects <> counted.n"""
