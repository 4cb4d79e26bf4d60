"""The life of a cluster in the fleet: added, renamed, labelled, paused, given new credentials, removed."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from aggregator.operations.kubeconfig import inline_credentials
from aggregator.rbac.identity import Actor
from aggregator.storage import clusters, credentials, directives, operations, sessions
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database
from schema.errors import BadRequest, FleetpediaError

log = logging.getLogger(__name__)
RESERVED: Final = frozenset({"fleet", "flat"})
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_RETRY_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 5.0
"""How long an agent may take to hear that its cluster is paused."""


class Added(NamedTuple):
    name: str
    token: str
    """The agent's credential, shown this once."""


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} is not a cluster name: a DNS label is needed (a–z, 0–9 and -, at most 63, "
            "beginning and ending with a letter or digit)"
        )
    if name in RESERVED:
        raise BadRequest(f"the name {name} is reserved: kubeconfig contexts of that name are the index's own")


def check_labels(labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise BadRequest(
                f"{key!r} is not a label key: [PREFIX/]NAME, the name at most 63 letters, digits, -, _ and ."
            )
        if not _LABEL_VALUE.fullmatch(value):
            raise BadRequest(f"{value!r} (label {key}) is not a label value: at most 63 letters, digits, -, _ and .")


class Clusters:
    """Management of clusters. Every function raises NotFound for a cluster that is not there."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._removal_wanted = asyncio.Event()

    async def add(
        self,
        actor: Actor,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        allow_clone: bool = False,
        kubeconfig: bytes | None = None,
        context: str | None = None,
    ) -> Added:
        """Register a cluster and make its agent's credential. With a `kubeconfig` (inline credentials only) the agent
        runs beside the aggregator. Raises BadRequest, Conflict."""
        check_name(name)
        check_labels(labels or {})
        # YAML in Python takes seconds for the largest that is let in.
        stored = None if kubeconfig is None else await asyncio.to_thread(inline_credentials, kubeconfig, context)
        async with self._database.writers.transaction() as connection:
            id = await clusters.add(connection, name, labels=labels, clone=allow_clone, kubeconfig=stored)
            token = await credentials.create(connection, id)
            args = {"cluster": name, "labels": dict(labels or {}), "beside": stored is not None}
            await operations.record(connection, "cluster-add", actor.name, args, id)
        await self._catalog.refresh()
        return Added(name, token)

    async def change(
        self,
        actor: Actor,
        name: str,
        *,
        rename: str | None = None,
        labels: Mapping[str, str | None] | None = None,
        paused: bool | None = None,
    ) -> str:
        """Rename, set labels (None takes one away), pause or resume, all or nothing. Returns the name after it."""
        if rename is not None:
            check_name(rename)
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            epoch = (await clusters.standing(self._database, row.id)).epoch
            if labels is not None:
                merged = {key: value for key, value in {**row.labels, **labels}.items() if value is not None}
                check_labels(merged)
                await clusters.set_labels(connection, row.id, merged)
            if paused is not None and paused != row.paused:
                await clusters.set_paused(connection, row.id, paused)
                await directives.add(connection, row.id, "reload")
            if rename is not None and rename != name:
                await clusters.rename(connection, row.id, rename)
            args = {"cluster": name, "rename": rename, "labels": dict(labels or {}), "paused": paused}
            await operations.record(connection, "cluster-change", actor.name, args, row.id)
        await self._catalog.refresh()
        if paused and not row.paused:
            await self._quiet(row.id, epoch)
        return rename or name

    async def _quiet(self, id: int, epoch: int) -> None:
        """Return when nothing more comes in: the agent has begun its paused session, or was fenced off because it did
        not. (A fenced agent stands by for a while, so it is asked first.)"""
        entry = self._catalog.cluster_by_id.get(id)
        if entry is None or entry.agent_seen is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + QUIET_SECONDS
        while (await clusters.standing(self._database, id)).epoch == epoch:
            if loop.time() > until:
                async with self._database.writers.transaction() as connection:
                    await sessions.fence(connection, id)
                return
            await asyncio.sleep(0.05)

    async def rotate(self, actor: Actor, name: str) -> str:
        """A new credential; the old ones are void at once."""
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            await credentials.revoke(connection, row.id)
            token = await credentials.create(connection, row.id)
            await operations.record(connection, "cluster-rotate", actor.name, {"cluster": name}, row.id)
        return token

    async def credential(self, actor: Actor, name: str) -> str:
        """One more credential, for a manifest: what runs already goes on with its own."""
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            token = await credentials.create(connection, row.id)
            await operations.record(connection, "cluster-credential", actor.name, {"cluster": name}, row.id)
        return token

    async def own_credential(self, name: str) -> str:
        """For an agent that runs as our child: it is the only one, so what it had before is void."""
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            await credentials.revoke(connection, row.id)
            return await credentials.create(connection, row.id)

    async def rebind(self, actor: Actor, name: str) -> None:
        """Let the credential be used by another member (a rebuilt cluster)."""
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            await clusters.rebind(connection, row.id)
            await operations.record(connection, "cluster-rebind", actor.name, {"cluster": name}, row.id)
        await self._catalog.refresh()

    async def remove(self, actor: Actor, name: str) -> None:
        """Revoke its credential and session at once; its rows go in bounded steps in the background."""
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            await clusters.begin_removal(connection, row.id)
            await operations.record(connection, "cluster-remove", actor.name, {"cluster": name})
        self._removal_wanted.set()
        await self._catalog.refresh()

    async def run_removals(self) -> None:
        """Background: carry removals on, also those that a process before us began."""
        while True:
            try:
                async with self._database.writers.acquire() as connection:
                    pending = await clusters.being_removed(connection)
                for id in pending:
                    await self._remove_whole(id)
            except FleetpediaError as error:
                log.warning("a removal waits: %s", error)
            self._removal_wanted.clear()
            try:
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._removal_wanted.wait()
            except TimeoutError:
                pass

    async def _remove_whole(self, id: int) -> None:
        after: int | None = 0
        while after is not None:
            async with self._database.writers.acquire() as connection:
                after = await clusters.forget_changes(connection, id, after)
            await asyncio.sleep(0)
        done = False
        while not done:
            async with self._database.writers.acquire() as connection:
                done = await clusters.remove_step(connection, id)
            await asyncio.sleep(0)
        log.info("cluster %d is removed", id)
        await self._catalog.refresh()
