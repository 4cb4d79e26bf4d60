"""Proof on demand: list a type anew and compare with all that the store holds, object by object.

The world moves meanwhile, so what differs is read again (from the member and from the store, key by key) after the
buffer has drained; only what then still differs counts."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from agent.errors import NotFound
from agent.reflect import Reflector
from agent.session import Session
from agent.slim import Unreadable
from schema.wire import BUCKETS, Fingerprints, FingerprintsRequest

ROUNDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before each look again."""
DRAIN_SECONDS: Final = 20.0
KEYS_A_REQUEST: Final = 500
GETS_AT_A_TIME: Final = 8
MOST_NAMED: Final = 1000
"""Keys of each sort in a report; what is over is told by number."""

Key = tuple[str, str]
Mark = tuple[str, int]
"""uid and fingerprint."""


class Difference(NamedTuple):
    """`member` and `store`: what each says of a key that the other says otherwise; None = it has no such object."""

    member: Mark | None
    store: Mark | None


async def verify(session: Session, reflector: Reflector) -> dict[str, Any]:
    """{"type", "member", "store", "missing", "ghost", "different"}. Raises KubeError and FleetpediaError."""
    there = await _listed(session, reflector)
    rows = await session.fingerprints(reflector.id, list(range(BUCKETS)))
    here = {key: (row.uid, row.fingerprint) for key, row in rows.items()}
    count = len(there)
    open_keys = [key for key in there.keys() | here.keys() if there.get(key) != here.get(key)]
    differences = {key: Difference(there.get(key), here.get(key)) for key in open_keys}
    del there, rows, here
    for pause in ROUNDS:
        if not differences:
            break
        await asyncio.sleep(pause)
        differences = await _look_again(session, reflector, list(differences))
    return _report(reflector.type.name, count, differences)


async def _listed(session: Session, reflector: Reflector) -> dict[Key, Mark]:
    marks: dict[Key, Mark] = {}
    async with aclosing(session.kube.pages(reflector.type.path)) as pages:
        async for page in pages:
            for raw in page.items:
                _add(marks, reflector, bytes(raw))
            await asyncio.sleep(0)
    return marks


def _add(marks: dict[Key, Mark], reflector: Reflector, raw: bytes) -> None:
    try:
        seen = reflector.slimmer.print(raw)
    except Unreadable:
        return  # counted and logged where it is synced
    if seen is not None:
        marks[seen.namespace, seen.name] = seen.uid, seen.fingerprint


async def _look_again(session: Session, reflector: Reflector, keys: list[Key]) -> dict[Key, Difference]:
    """The member first, then the store: what the store lacks after that, it lacks."""
    there = await _read(session, reflector, keys)
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await session.buffer.drained(reflector.id)
    except TimeoutError:
        pass  # a type that never rests; the store is asked all the same
    here = await _stored(session, reflector, keys)
    return {key: Difference(there.get(key), here.get(key)) for key in keys if there.get(key) != here.get(key)}


async def _read(session: Session, reflector: Reflector, keys: list[Key]) -> dict[Key, Mark]:
    marks: dict[Key, Mark] = {}
    gate = asyncio.Semaphore(GETS_AT_A_TIME)

    async def one(key: Key) -> None:
        async with gate:
            try:
                # A single object ends with a line feed, which lists and watches do not have: it would be another print.
                _add(marks, reflector, (await session.kube.get(object_path(reflector, key))).rstrip())
            except NotFound:
                pass

    if len(keys) > KEYS_A_REQUEST:
        return await _listed(session, reflector)
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(one(key))
    return marks


async def _stored(session: Session, reflector: Reflector, keys: list[Key]) -> dict[Key, Mark]:
    marks: dict[Key, Mark] = {}
    for start in range(0, len(keys), KEYS_A_REQUEST):
        part = keys[start : start + KEYS_A_REQUEST]
        request = FingerprintsRequest(session.epoch, reflector.id, [], part)
        answer = await session.hub.call("fingerprints", request, Fingerprints)
        marks |= {(row.namespace, row.name): (row.uid, row.fingerprint) for row in answer.rows}
    return marks


def object_path(reflector: Reflector, key: Key) -> str:
    namespace, name = key
    base = reflector.type.path
    if namespace:
        root, _, resource = base.rpartition("/")
        base = f"{root}/namespaces/{quote(namespace, safe='')}/{resource}"
    return f"{base}/{quote(name, safe='')}"


def _report(type: str, listed: int, differences: dict[Key, Difference]) -> dict[str, Any]:
    missing = sorted(key for key, one in differences.items() if one.store is None)
    ghost = sorted(key for key, one in differences.items() if one.member is None)
    different = sorted(key for key, one in differences.items() if one.member is not None and one.store is not None)
    return {
        "type": type,
        "member": listed,
        "store": listed - len(missing) + len(ghost),
        "missing": _named(missing),
        "ghost": _named(ghost),
        "different": _named(different),
    }


def _named(keys: list[Key]) -> list[str]:
    names = [f"{namespace}/{name}" if namespace else name for namespace, name in keys[:MOST_NAMED]]
    return [*names, f"… and {len(keys) - MOST_NAMED} more"] if len(keys) > MOST_NAMED else names
