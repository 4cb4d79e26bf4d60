"""What a comparison puts into the buffer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

from agent.buffer import Buffer
from agent.compare import Comparison
from agent.session import Session
from agent.slim import Slimmer
from schema.wire import Delete, Fingerprint, Upsert

TYPE = 7


def upsert(name: str, uid: str) -> Upsert:
    return Upsert(TYPE, "ns", name, uid, "5", 11, 0, 0, [], [], [], "", b"[]", [0] * 5, 2, False, b"{}", 1.0)


class OneObject:
    """Stands for member and slimmer: a list of `web` with the uid `new`."""

    type = SimpleNamespace(path="/api/v1/configmaps", name="configmaps")

    async def pages(self, path: str, exactly: str = "") -> AsyncIterator[Any]:
        yield SimpleNamespace(items=[b"{}"], version="5")

    def print(self, raw: bytes) -> Any:
        return SimpleNamespace(namespace="ns", name="web", uid="new", bucket=0, fingerprint=11)

    def upsert(self, type_id: int, raw: bytes, seen: float) -> Upsert:
        return upsert("web", "new")


def comparison(buffer: Buffer, stored: Fingerprint) -> Comparison:
    async def fingerprints(type_id: int, buckets: list[int]) -> dict[tuple[str, str], Fingerprint]:
        return {(stored.namespace, stored.name): stored}

    metrics = SimpleNamespace(count=lambda *_, **__: None)
    session = SimpleNamespace(kube=OneObject(), buffer=buffer, metrics=metrics, fingerprints=fingerprints)
    return Comparison(cast(Session, session), cast(Slimmer, OneObject()), TYPE)


async def test_an_object_made_anew_and_deleted_before_it_was_sent_leaves_no_older_one_behind() -> None:
    buffer = Buffer()
    await comparison(buffer, Fingerprint("ns", "web", "old", 10))._repair("5", [0])
    buffer.put(Delete(TYPE, "ns", "web", "new", 2.0))  # the watch: it is gone already
    deltas, _ = await buffer.take(10, 10_000)
    assert {(type(delta), delta.uid) for delta in deltas} == {(Delete, "old"), (Delete, "new")}


async def test_an_object_that_only_changed_is_not_deleted() -> None:
    buffer = Buffer()
    await comparison(buffer, Fingerprint("ns", "web", "new", 10))._repair("5", [0])
    deltas, _ = await buffer.take(10, 10_000)
    assert [(type(delta), delta.uid) for delta in deltas] == [(Upsert, "new")]
