"""Credentials of agents. Only their hashes are kept; the secret is shown once."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

import asyncpg

from aggregator.storage.pool import Database

PREFIX = "fpa_"


class Holder(NamedTuple):
    cluster_id: int
    cluster: str


def hashed(token: str) -> bytes:
    # A header's bytes that are no UTF-8 come as surrogates: unknown like any other wrong token, no failure of ours.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


async def create(connection: asyncpg.Connection, cluster_id: int) -> str:
    """A new credential beside those that there are."""
    token = PREFIX + secrets.token_urlsafe(32)
    await connection.execute(
        "insert into fleet.credential (cluster_id, token_hash) values ($1, $2)", cluster_id, hashed(token)
    )
    return token


async def revoke(connection: asyncpg.Connection, cluster_id: int, *, but: str | None = None) -> int:
    """Revoke all credentials of a cluster (but the token `but`); how many that were."""
    status = await connection.execute(
        "update fleet.credential set revoked = now() where cluster_id = $1 and revoked is null and token_hash <> $2",
        cluster_id,
        hashed(but) if but is not None else b"",
    )
    return int(status.split()[-1])


async def holder(database: Database, token_hash: bytes) -> Holder | None:
    """Whose credential that is; None for unknown and revoked ones."""
    row = await database.readers.fetchrow(_HOLDER, token_hash)
    return Holder(row["id"], row["name"]) if row else None


_HOLDER = """
select c.id, c.name from fleet.credential k join fleet.cluster c on c.id = k.cluster_id
 where k.token_hash = $1 and k.revoked is null"""
