"""Marking stored objects as wrong, so that the next comparison with the member brings them anew."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg


async def distrust(
    connection: asyncpg.Connection, cluster_id: int, type_id: int, keys: Sequence[tuple[str, str]]
) -> None:
    """`keys`: (namespace, name). Their fingerprints equal nothing afterwards; the row of the session is held, so that
    no batch is half-way through the type."""
    await connection.execute("select 1 from fleet.session where cluster_id = $1 for update", cluster_id)
    namespaces, names = [key[0] for key in keys], [key[1] for key in keys]
    await connection.execute(_DISTRUST, cluster_id, type_id, namespaces, names)


_DISTRUST = """
update fleet.object o set fingerprint = 0
  from unnest($3::text[], $4::text[]) as k(namespace, name)
 where o.cluster_id = $1 and o.type_id = $2 and o.namespace = k.namespace and o.name = k.name"""
