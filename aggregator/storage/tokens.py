"""Tokens of people and programs. Only their hashes are kept; the secret is shown once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from aggregator.storage.credentials import hashed
from aggregator.storage.pool import Database
from schema.errors import Conflict, NotFound

__all__ = ["Token", "all_tokens", "create", "ensure_admin", "find", "hashed", "revoke"]
PREFIX = "fp_"


class Token(NamedTuple):
    name: str
    role: str
    clusters: list[str]
    namespaces: list[str]
    kinds: list[str]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    expired: bool


async def create(
    connection: asyncpg.Connection,
    name: str,
    role: str,
    *,
    clusters: Sequence[str] = (),
    namespaces: Sequence[str] = (),
    kinds: Sequence[str] = (),
    ttl: timedelta | None = None,
) -> str:
    """A new token, shown once. A revoked one's name may be used again. Raises Conflict where the name is taken."""
    token = PREFIX + secrets.token_urlsafe(32)
    values = (name, hashed(token), role, list(clusters), list(namespaces), list(kinds), ttl)
    if await connection.fetchval(_CREATE, *values) is None:
        raise Conflict(f"there is a token {name} already; revoke it first, or choose another name")
    await _wake(connection)
    return token


async def ensure_admin(connection: asyncpg.Connection, token: str, name: str = "admin") -> None:
    """Make `token` (of the data folder) the admin's, whatever it was before."""
    await connection.execute(_ENSURE, name, hashed(token))
    await _wake(connection)


async def find(database: Database, token_hash: bytes) -> Token | None:
    rows = await database.readers.fetch(f"{_SELECT} where token_hash = $1", token_hash)
    return Token(*rows[0]) if rows else None


async def all_tokens(database: Database) -> list[Token]:
    """By name, revoked ones too."""
    return [Token(*row) for row in await database.readers.fetch(f"{_SELECT} order by name")]


async def revoke(connection: asyncpg.Connection, name: str) -> None:
    """Raises NotFound."""
    found = await connection.fetchval(
        "update fleet.token set revoked = coalesce(revoked, now()) where name = $1 returning name", name
    )
    if found is None:
        raise NotFound(f"there is no token {name}; see: fleetpedia tokens list")
    await _wake(connection)


async def _wake(connection: asyncpg.Connection) -> None:
    await connection.execute("select pg_notify('fleet_token', '')")


_SELECT = """
select name, role, clusters, namespaces, kinds, created, expires, revoked, coalesce(expires <= now(), false) as expired
  from fleet.token"""
_CREATE = """
insert into fleet.token (name, token_hash, role, clusters, namespaces, kinds, expires)
values ($1, $2, $3, $4, $5, $6, now() + $7::interval)
    on conflict (name) do update
   set token_hash = excluded.token_hash, role = excluded.role, clusters = excluded.clusters,
       namespaces = excluded.namespaces, kinds = excluded.kinds, created = now(), expires = excluded.expires,
       revoked = null
 where token.revoked is not null
returning name"""
_ENSURE = """
insert into fleet.token (name, token_hash, role) values ($1, $2, 'admin')
    on conflict (name) do update set token_hash = excluded.token_hash, role = 'admin', clusters = '{}',
       namespaces = '{}', kinds = '{}', expires = null, revoked = null"""
