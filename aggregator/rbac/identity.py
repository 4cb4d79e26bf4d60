"""From a token to who asks: name, role, scope. Known for two seconds, forgotten at once when a token changes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal, cast

from aggregator.rbac.scope import Scope
from aggregator.storage import tokens
from aggregator.storage.pool import Database
from schema.errors import Forbidden, Unauthorized

Role = Literal["admin", "viewer"]
CACHED_SECONDS: Final = 2.0
_MOST: Final = 10_000


@dataclass(frozen=True)
class Actor:
    """Who asks. `scope` holds for an admin too: a token may be an admin of a part of the fleet only for reading; what
    changes the fleet needs an admin without limits (`require_admin`)."""

    name: str
    role: Role
    scope: Scope

    def require_admin(self, what: str) -> None:
        """Raises Forbidden where this actor may not do `what` ("add clusters")."""
        if self.role != "admin":
            raise Forbidden(f"{self.name} has the role {self.role} and may not {what}; use a token with the role admin")
        if self.scope != Scope.everything():
            raise Forbidden(f"the token {self.name} is limited to a part of the fleet and may not {what}")


class Identity:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[float, Actor]] = {}

    async def start(self) -> None:
        await self._database.listen("fleet_token", self._known.clear)

    async def actor(self, token: str) -> Actor:
        """Raises Unauthorized that says whether the token is unknown, revoked or expired; Unavailable."""
        key = tokens.hashed(token)
        now = time.monotonic()
        cached = self._known.get(key)
        if cached and now - cached[0] < CACHED_SECONDS:
            return cached[1]
        self._known.pop(key, None)
        found = await tokens.find(self._database, key)
        if found is None:
            raise Unauthorized("the token is not known here; create one with: fleetpedia tokens create NAME")
        if found.revoked is not None:
            raise Unauthorized(f"the token {found.name} was revoked; ask for a new one")
        if found.expired:
            raise Unauthorized(
                f"the token {found.name} expired at {found.expires:%Y-%m-%dT%H:%M:%SZ}; create a new one"
            )
        scope = Scope(tuple(found.clusters), tuple(found.namespaces), tuple(found.kinds))
        actor = Actor(found.name, cast(Role, found.role), scope)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (now, actor)
        return actor
