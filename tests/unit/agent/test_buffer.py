"""The buffer keeps the newest of each object, loses nothing, stays bounded, and marks never run ahead."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import buffer as module
from agent.buffer import Buffer
from schema.wire import Delete, Delta, Mark, Reject, Upsert

Store = dict[tuple[int, str], tuple[str, str]]
"""(type, name) → (uid, version): what a store holds after the batches so far."""


def upsert(name: str, uid: str = "u", version: str = "1", type: int = 1, body: bytes = b"") -> Upsert:
    return Upsert(type, "ns", name, uid, version, 0, 0, 0, [], [], [], "", b"[]", [], 0, False, body, 0.0)


def delete(name: str, uid: str = "u", type: int = 1) -> Delete:
    return Delete(type, "ns", name, uid, 0.0)


def apply(store: Store, deltas: list[Delta]) -> None:
    """As the aggregator does: deletes first, by uid; then upserts, each key once."""
    for delta in deltas:
        if isinstance(delta, Delete) and store.get((delta.type, delta.name), ("",))[0] == delta.uid:
            del store[delta.type, delta.name]
    others = [delta for delta in deltas if isinstance(delta, Upsert)]
    assert len({(delta.type, delta.name) for delta in others}) == len(others)
    for delta in others:
        store[delta.type, delta.name] = delta.uid, delta.resource_version


events = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("abc")),
        st.tuples(st.just("delete"), st.sampled_from("abc")),
        st.tuples(st.just("send"), st.integers(1, 4)),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(events)
def test_whatever_happens_the_store_ends_as_the_member(history: list[tuple[str, str | int]]) -> None:
    async def play() -> None:
        buffer = Buffer()
        member: Store = {}
        store: Store = {}
        version = life = 0
        for what, of in history:
            key = (1, str(of))
            if what == "write":
                version += 1
                if key not in member:
                    life += 1
                uid = member[key][0] if key in member else f"life-{life}"
                member[key] = uid, str(version)
                buffer.put(upsert(key[1], *member[key]))
            elif what == "delete" and key in member:
                buffer.put(delete(key[1], member.pop(key)[0]))
            elif what == "send" and len(buffer):
                deltas, _ = await buffer.take(int(of), 1 << 20)
                apply(store, deltas)
                await buffer.committed(deltas)
        while len(buffer):
            deltas, _ = await buffer.take(3, 1 << 20)
            apply(store, deltas)
        assert store == member
        assert buffer.bytes == 0

    asyncio.run(play())


async def test_the_newest_wins_and_keeps_its_place() -> None:
    buffer = Buffer()
    for name, version in (("a", "1"), ("b", "2"), ("a", "3")):
        buffer.put(upsert(name, version=version))
    deltas, _ = await buffer.take(10, 1 << 20)
    assert [(d.name, d.resource_version) for d in deltas if isinstance(d, Upsert)] == [("a", "3"), ("b", "2")]


async def test_delete_and_recreate_are_two_entries() -> None:
    buffer = Buffer()
    buffer.put(upsert("a", "first"))
    buffer.put(delete("a", "first"))
    buffer.put(upsert("a", "second"))
    deltas, _ = await buffer.take(10, 1 << 20)
    assert [(type(d).__name__, d.uid) for d in deltas] == [("Delete", "first"), ("Upsert", "second")]


async def test_a_delete_that_was_not_seen_is_put_in() -> None:
    buffer = Buffer()
    buffer.put(upsert("a", "first"))
    buffer.put(upsert("a", "second"))
    deltas, _ = await buffer.take(10, 1 << 20)
    assert [(type(d).__name__, d.uid) for d in deltas] == [("Delete", "first"), ("Upsert", "second")]


async def test_full_means_wait() -> None:
    buffer = Buffer(max_objects=2, max_bytes=1 << 20)
    buffer.put(upsert("a"))
    buffer.put(upsert("b"))
    assert buffer.full
    waiting = asyncio.create_task(buffer.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await buffer.take(1, 1 << 20)
    await asyncio.wait_for(waiting, 1)


async def test_room_that_a_forgotten_type_leaves_is_told() -> None:
    """Nothing is left to be taken, so no commit would wake who waits."""
    buffer = Buffer(max_objects=2, max_bytes=1 << 20)
    buffer.put(upsert("a"))
    buffer.put(upsert("b"))
    waiting = asyncio.create_task(buffer.room())
    await asyncio.sleep(0)
    await buffer.forget(1)
    await asyncio.wait_for(waiting, 1)


async def test_bytes_are_bounded_too() -> None:
    buffer = Buffer(max_objects=100, max_bytes=2000)
    buffer.put(upsert("a", body=b"x" * 3000))
    assert buffer.full
    deltas, _ = await buffer.take(10, 100)
    assert len(deltas) == 1, "one that is larger than a batch travels alone"
    assert not buffer.full


async def test_batches_keep_to_both_limits() -> None:
    buffer = Buffer()
    for name in "abcdef":
        buffer.put(upsert(name, body=b"x" * 1000))
    assert len((await buffer.take(4, 1 << 20))[0]) == 4
    assert len((await buffer.take(4, 1700))[0]) == 1


async def test_a_mark_waits_until_nothing_of_its_type_is_left() -> None:
    buffer = Buffer()
    for name in "abc":
        buffer.put(upsert(name))
    buffer.put(upsert("z", type=2))
    buffer.mark(1, "7", listed=True, shape="s")
    buffer.mark(2, "8")
    deltas, marks = await buffer.take(2, 1 << 20)
    assert (len(deltas), marks) == (2, [])
    _, marks = await buffer.take(2, 1 << 20)
    assert sorted(marks, key=lambda mark: mark.type) == [Mark(1, "7", True, "s"), Mark(2, "8")]


async def test_a_listed_mark_is_not_lost_under_a_newer_one() -> None:
    buffer = Buffer()
    buffer.mark(1, "7", listed=True, shape="s")
    buffer.mark(1, "9")
    assert (await buffer.take(1, 1))[1] == [Mark(1, "9", True, "s")]


async def test_an_idle_mark_travels_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARK_SECONDS", 0.02)
    buffer = Buffer()
    taking = asyncio.create_task(buffer.take(1, 1))
    await asyncio.sleep(0)
    buffer.mark(1, "7")
    assert await asyncio.wait_for(taking, 1) == ([], [Mark(1, "7")])


async def test_drained_waits_for_what_is_in_flight() -> None:
    buffer = Buffer()
    buffer.put(upsert("a"))
    draining = asyncio.create_task(buffer.drained(1))
    deltas, _ = await buffer.take(1, 1 << 20)
    await asyncio.sleep(0)
    assert not draining.done()
    await buffer.committed(deltas)
    await asyncio.wait_for(draining, 1)


async def test_forget_drops_a_type_only() -> None:
    buffer = Buffer()
    buffer.put(upsert("a"))
    buffer.put(Reject(1, "ns", "r", "u", 0, 0, "bad", 0.0))
    buffer.put(upsert("a", type=2))
    buffer.mark(1, "7")
    await buffer.forget(1)
    deltas, marks = await buffer.take(10, 1 << 20)
    assert [delta.type for delta in deltas] == [2]
    assert marks == []
    await buffer.drained(1)
