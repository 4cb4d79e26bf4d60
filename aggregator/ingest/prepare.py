"""Deltas → rows: what has to be checked before Postgres sees an object, at a few microseconds each.

An object that cannot be stored becomes a rejected row with its reason; it never takes the rest of the batch with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
import xxhash
import zstandard

from aggregator.storage.batch import SEPARATOR, DeleteRow, RejectRow, Rows, UpsertRow
from schema.lossy import replaced, without_nul
from schema.wire import BUCKETS, MAX_OBJECT_BYTES, Delete, Delta, Reject, Upsert

CHUNK_BYTES: Final = 32 * 1024 * 1024
"""Inflated bodies that one database call may carry; a batch with more is committed in several steps."""
MAX_KEY_BYTES: Final = 1024
"""Of namespace and name each: an index entry of Postgres ends at 2.7 kB."""

_inflate = zstandard.ZstdDecompressor().decompress
_array = msgspec.json.Decoder(list[msgspec.Raw])
_REPLACEMENT: Final = "\ufffd"


class Refused(NamedTuple):
    """`category` is one of few (a metric's label), `reason` is for people."""

    category: str
    reason: str


class Prepared(NamedTuple):
    """Rows of a run of deltas. `sequences[i]` is the delta of `rows.upserts[i]`; `refused` by sequence; `superseded`
    deltas were overtaken by a later one of their key in the same run."""

    rows: Rows
    sequences: list[int]
    upserts: list[Upsert]
    refused: dict[int, Refused]
    superseded: int


def chunks(first: int, deltas: list[Delta]) -> Iterator[tuple[int, list[Delta]]]:
    """(first sequence, deltas) of consecutive runs whose bodies inflate to about CHUNK_BYTES at most; never none."""
    start, held = 0, 0
    for position, delta in enumerate(deltas):
        size = min(max(_stated(delta.body), 0), MAX_OBJECT_BYTES) if type(delta) is Upsert else 0
        if held + size > CHUNK_BYTES and position > start:
            yield first + start, deltas[start:position]
            start, held = position, 0
        held += size
    yield first + start, deltas[start:]


def prepare(first: int, deltas: Iterable[Delta]) -> Prepared:
    """Reduce to one row per key, check, inflate."""
    last_of: dict[tuple[int, str, str], tuple[int, Upsert | Reject]] = {}
    rows = Rows()
    count = 0
    for sequence, delta in enumerate(deltas, first):
        count += 1
        key = (delta.type, delta.namespace, delta.name)
        if isinstance(delta, Delete):
            rows.deletes.append(_delete(delta))
            standing = last_of.get(key)
            if standing is not None and standing[1].uid == delta.uid:
                del last_of[key]
        else:
            last_of[key] = (sequence, delta)
    prepared = Prepared(rows, [], [], {}, count - len(rows.deletes) - len(last_of))
    for sequence, final in last_of.values():
        if type(final) is Upsert:
            _add_upsert(prepared, sequence, final)
        else:
            assert isinstance(final, Reject)
            rows.rejects.append(_reject(final, final.reason))
    return prepared


def refuse(prepared: Prepared, position: int, refused: Refused) -> None:
    """Turn the upsert row at `position` into a rejected row."""
    upsert = prepared.upserts.pop(position)
    prepared.rows.upserts.pop(position)
    sequence = prepared.sequences.pop(position)
    prepared.rows.rejects.append(_reject(upsert, refused.reason))
    prepared.refused[sequence] = refused


def keep_types(prepared: Prepared, live: set[int]) -> None:
    """Take out what belongs to types that are not (or no longer) announced; it is named in the ack, not stored."""
    for position in reversed(range(len(prepared.upserts))):
        if prepared.upserts[position].type not in live:
            upsert = prepared.upserts.pop(position)
            prepared.rows.upserts.pop(position)
            reason = f"type {upsert.type} is not announced by this cluster, or is gone or excluded"
            prepared.refused[prepared.sequences.pop(position)] = Refused("type", reason)
    prepared.rows.rejects[:] = [row for row in prepared.rows.rejects if row[0] in live]
    prepared.rows.deletes[:] = [row for row in prepared.rows.deletes if row[0] in live]


def _add_upsert(prepared: Prepared, sequence: int, upsert: Upsert) -> None:
    text, refused = _text(upsert)
    if refused is None:
        prepared.rows.upserts.append(upsert_row(upsert, text))
        prepared.upserts.append(upsert)
        prepared.sequences.append(sequence)
    else:
        prepared.rows.rejects.append(_reject(upsert, refused.reason))
        prepared.refused[sequence] = refused


def _text(upsert: Upsert) -> tuple[bytes, Refused | None]:
    """The body inflated, or why it is refused."""
    stated = _stated(upsert.body)
    if stated > MAX_OBJECT_BYTES:
        return b"", Refused("too-large", f"the object has {stated} bytes, more than {MAX_OBJECT_BYTES}")
    try:
        if stated < 0:  # its allocation could not be bounded
            return b"", Refused("damaged", "the body is no zstd frame that states its size")
        text = _inflate(upsert.body)
    except zstandard.ZstdError as error:
        return b"", Refused("damaged", f"the body is not a whole zstd frame: {error}")
    if not _fits(text, upsert.layout):
        return b"", Refused("layout", "the body is not a JSON object that its layout fits")
    if not 0 <= upsert.bucket < BUCKETS:
        return b"", Refused("layout", f"bucket {upsert.bucket} is not within 0…{BUCKETS - 1}")
    if not _is_json_array(upsert.cells):
        return b"", Refused("cells", "its table cells are not a JSON array")
    if len(upsert.name.encode()) > MAX_KEY_BYTES or len(upsert.namespace.encode()) > MAX_KEY_BYTES:
        return b"", Refused("key", f"its name or namespace is longer than {MAX_KEY_BYTES} bytes")
    return text, None


def _stated(frame: bytes) -> int:
    """Bytes that a zstd frame says it inflates to; -1 where it does not say or is none."""
    try:
        return zstandard.frame_content_size(frame)
    except zstandard.ZstdError:
        return -1


def _is_json_array(cells: bytes) -> bool:
    try:
        _array.decode(cells)
    except msgspec.DecodeError:
        return False
    return True


def _fits(text: bytes, layout: list[int]) -> bool:
    if len(layout) != 5 or text[:1] != b"{":
        return False
    version_at, annotations_at, form, start, end = layout
    return (
        0 < start < version_at < end <= len(text)
        and start < annotations_at < end
        and 0 <= form <= 2
        and text[start] == 0x7B
        and text[end - 1] == 0x7D
        and text[version_at - 1 : version_at + 1] == b'""'
    )


def upsert_row(upsert: Upsert, text: bytes) -> UpsertRow:
    """`text`: the inflated body. Where the object is lossy, the row's columns get U+FFFD for what Postgres refuses."""
    size = len(text)
    if upsert.lossy:
        upsert, text = without_nul(upsert), replaced(text)
    keys = [label.partition("=")[0] for label in upsert.labels]
    return (
        upsert.type,
        upsert.namespace,
        upsert.name,
        upsert.uid,
        upsert.resource_version,
        upsert.fingerprint,
        upsert.bucket,
        upsert.lossy,
        upsert.created,
        upsert.status,
        _joined(upsert.owners),
        _joined(upsert.labels + keys),
        _joined(upsert.fields),
        upsert.cells.decode(),
        f"{{{','.join(map(str, upsert.layout))}}}",
        size,
        text,
        upsert.body,
    )


def _joined(values: list[str]) -> str:
    joined = SEPARATOR.join(values)
    if values and joined.count(SEPARATOR) != len(values) - 1:
        return SEPARATOR.join(value.replace(SEPARATOR, _REPLACEMENT) for value in values)
    return joined


def _delete(delta: Delete) -> DeleteRow:
    return delta.type, _key(delta.namespace), _key(delta.name), _clean(delta.uid)


def _reject(delta: Upsert | Reject, reason: str) -> RejectRow:
    return (
        delta.type,
        _key(delta.namespace),
        _key(delta.name),
        _clean(delta.uid),
        delta.fingerprint,
        delta.bucket if 0 <= delta.bucket < BUCKETS else 0,
        _clean(reason)[:1000],
    )


def _key(value: str) -> str:
    """A key that an index of Postgres can hold. A longer one is cut, with its hash in place of the rest: it is only
    ever the key of a rejected row, and is found again in the same way."""
    value = _clean(value)
    if len(value.encode()) <= MAX_KEY_BYTES:
        return value
    return f"{value[: MAX_KEY_BYTES // 8]}…{xxhash.xxh3_64_hexdigest(value.encode())}"


def _clean(value: str) -> str:
    return value.replace("\x00", _REPLACEMENT)
