"""Tokens of people and programs: made, listed, revoked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from aggregator.rbac.identity import Actor
from aggregator.storage import operations, tokens
from aggregator.storage.pool import Database
from schema.errors import BadRequest

_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.@]{0,126}[A-Za-z0-9])?")
_PATTERN: Final = re.compile(r"[-A-Za-z0-9_.*]{1,253}")
_MOST_PATTERNS: Final = 100


class Tokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        actor: Actor,
        name: str,
        role: str,
        *,
        clusters: Sequence[str] = (),
        namespaces: Sequence[str] = (),
        kinds: Sequence[str] = (),
        ttl: timedelta | None = None,
    ) -> str:
        """The secret, shown once. Raises BadRequest for names and patterns that will not do, Conflict."""
        if not _NAME.fullmatch(name):
            raise BadRequest(f"{name!r} is no name for a token: letters, digits, -, _, . and @, at most 128")
        scope = {"clusters": list(clusters), "namespaces": list(namespaces), "kinds": list(kinds)}
        for what, patterns in scope.items():
            if len(patterns) > _MOST_PATTERNS:
                raise BadRequest(f"{what}: at most {_MOST_PATTERNS} patterns")
            for pattern in patterns:
                if not _PATTERN.fullmatch(pattern):
                    raise BadRequest(f"{what}: {pattern!r} is no name; * is the only wildcard")
        async with self._database.writers.transaction() as connection:
            token = await tokens.create(connection, name, role, **scope, ttl=ttl)
            await operations.record(connection, "token-create", actor.name, {"name": name, "role": role, **scope})
        return token

    async def all(self) -> list[tokens.Token]:
        return await tokens.all_tokens(self._database)

    async def revoke(self, actor: Actor, name: str) -> None:
        """Raises NotFound."""
        async with self._database.writers.transaction() as connection:
            await tokens.revoke(connection, name)
            await operations.record(connection, "token-revoke", actor.name, {"name": name})
