"""What the store holds of one type, told in sums and fingerprints: computed from rows, never from kept counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from schema.wire import BUCKETS, Fingerprint

MAX_ROWS: Final = 20_000
"""Of one answer; about 3 MB."""
_MODULUS: Final = 1 << 64


async def digest(connection: asyncpg.Connection, cluster_id: int, type_id: int) -> tuple[list[int], list[int]]:
    """(counts, sums modulo 2^64) per bucket over stored and rejected objects."""
    counts, sums = [0] * BUCKETS, [0] * BUCKETS
    for bucket, count, total in await connection.fetch(_DIGEST, cluster_id, type_id):
        if 0 <= bucket < BUCKETS:
            counts[bucket], sums[bucket] = count, int(total) % _MODULUS
    return counts, sums


async def of_buckets(
    connection: asyncpg.Connection, cluster_id: int, type_id: int, buckets: Sequence[int]
) -> tuple[list[Fingerprint], list[int]]:
    """(rows of whole buckets, buckets that did not fit into MAX_ROWS); at least one bucket is answered."""
    counts = {row[0]: row[1] for row in await connection.fetch(_COUNTS, cluster_id, type_id, list(buckets))}
    fitting: list[int] = []
    held = 0
    for bucket in buckets:
        held += counts.get(bucket, 0)
        if fitting and held > MAX_ROWS:
            break
        fitting.append(bucket)
    rows = await connection.fetch(_OF_BUCKETS, cluster_id, type_id, fitting)
    return [Fingerprint(*row) for row in rows], list(buckets[len(fitting) :])


async def of_keys(
    connection: asyncpg.Connection, cluster_id: int, type_id: int, keys: Sequence[tuple[str, str]]
) -> list[Fingerprint]:
    namespaces, names = [key[0] for key in keys], [key[1] for key in keys]
    rows = await connection.fetch(_OF_KEYS, cluster_id, type_id, namespaces, names)
    return [Fingerprint(*row) for row in rows]


_BOTH = """(
  select namespace, name, uid, fingerprint, bucket, false as rejected from fleet.object
   where cluster_id = $1 and type_id = $2
   union all
  select namespace, name, uid, fingerprint, bucket, true from fleet.rejected where cluster_id = $1 and type_id = $2
) as rows"""
_DIGEST = f"select bucket, count(*), sum(fingerprint) from {_BOTH} group by bucket"
_COUNTS = f"select bucket, count(*) from {_BOTH} where bucket = any($3::smallint[]) group by bucket"
_OF_BUCKETS = f"""
select namespace, name, uid, fingerprint, rejected from {_BOTH} where bucket = any($3::smallint[])"""
_OF_KEYS = f"""
select rows.namespace, rows.name, uid, fingerprint, rejected from {_BOTH}
  join unnest($3::text[], $4::text[]) as k(namespace, name) on rows.namespace = k.namespace and rows.name = k.name"""
