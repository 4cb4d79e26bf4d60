"""The bytes of an object: cut apart in the agent once, joined at the aggregator at each reading, never parsed there.

A body is the object's own JSON without `managedFields`, with `apiVersion` and `kind` put in where a list left them out
(traps 17), and with the value of `metadata.resourceVersion` cut out. A layout says where things are, as byte offsets:

    (version_at, annotations_at, annotations_form, metadata_start, metadata_end)

- version_at: between the quotes of the emptied resourceVersion.
- annotations_at, annotations_form: where annotations can be put in. 0: there are none, a whole member goes after the
  `{` of metadata; 1: before the `}` of annotations that has members; 2: the same, but it is empty. Last, since of a key
  that comes twice readers take the last: a member's object cannot claim to be of another cluster.
- metadata_start, metadata_end: the span of the metadata object, braces included.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec
import orjson
import xxhash

SLIM_VERSION: Final = 1
"""Part of every type's shape: raised when `cut` changes what it makes, so that stored bodies are compared anew."""

NO_ANNOTATIONS, ANNOTATIONS, EMPTY_ANNOTATIONS = 0, 1, 2

Layout = tuple[int, int, int, int, int]


class Metadata(msgspec.Struct):
    """What the agent needs of an object's metadata; the rest stays bytes."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815 (Kubernetes' own spelling)
    creationTimestamp: str | None = None  # noqa: N815
    labels: dict[str, str] | None = None
    ownerReferences: list[Owner] | None = None  # noqa: N815
    annotations: msgspec.Raw = msgspec.Raw(b"")
    managedFields: msgspec.Raw = msgspec.Raw(b"")  # noqa: N815


class Owner(msgspec.Struct):
    uid: str = ""
    controller: bool | None = None


class _Head(msgspec.Struct):
    metadata: Metadata
    apiVersion: str = ""  # noqa: N815
    kind: str = ""


class _RawHead(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw(b"")


class Cut(NamedTuple):
    body: bytes
    layout: Layout
    metadata: Metadata


_head = msgspec.json.Decoder(_Head)
_head_raw = msgspec.json.Decoder(_RawHead)
_metadata = msgspec.json.Decoder(Metadata)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def cut(raw: bytes, api_version: str, kind: str) -> Cut:
    """Make body, layout and metadata of one object as the API server sent it.

    Raises msgspec.DecodeError where `raw` is not a JSON object with metadata of the right types."""
    try:
        return _cut(raw, raw, api_version, kind)
    except msgspec.DecodeError:
        readable = _without_lone_surrogates(raw)
        if readable == raw:
            raise
        return _cut(raw, readable, api_version, kind)


def _cut(raw: bytes, readable: bytes, api_version: str, kind: str) -> Cut:
    """`readable` has the same length as `raw`, and what the decoder refuses is replaced in it."""
    head = _head.decode(readable)
    metadata = head.metadata
    span = _span(readable, head)
    version = metadata.resourceVersion.encode()
    if span is None or not version:
        return _cut_slowly(readable, api_version, kind)
    start, end = span
    managed = _managed(readable, start, end, bytes(metadata.managedFields))
    found = _annotations(readable, start, end, bytes(metadata.annotations))
    quoted = b'"resourceVersion":"' + version + b'"'
    version_at = readable.find(quoted, start, end) + len(quoted) - 1 - len(version)
    # A label or annotation may be called resourceVersion too and have the same value.
    if managed is None or found is None or readable.count(quoted, start, end) != 1:
        return _cut_slowly(readable, api_version, kind)
    version_cut = version_at, version_at + len(version)
    first, second = (version_cut, managed) if version_at < managed[0] else (managed, version_cut)
    open_brace = raw.index(b"{") + 1
    prefix = _prefix(head, api_version, kind)
    body = b"".join((raw[:open_brace], prefix, raw[open_brace : first[0]], raw[first[1] : second[0]], raw[second[1] :]))
    first_bytes, second_bytes = first[1] - first[0], second[1] - second[0]

    def moved(offset: int) -> int:
        gone = (first_bytes if first[1] <= offset else 0) + (second_bytes if second[1] <= offset else 0)
        return offset + len(prefix) - gone

    return Cut(body, (moved(version_at), moved(found[0]), found[1], moved(start), moved(end)), metadata)


def _span(text: bytes, head: _Head) -> tuple[int, int] | None:
    """Where the metadata object begins and ends, braces included; None where it cannot be told for sure.

    The API server writes kind, apiVersion, metadata, and managedFields as the last member of metadata: then one look at
    the object is enough. Else the decoder has to find the metadata's end in a second one."""
    start = text.find(b'"metadata":') + len(b'"metadata":')
    # Where something else comes first, it may hold the same bytes: a template that is a copy of the object.
    first = text[: start - len(b'"metadata":')] in _usual_starts(head)
    managed = bytes(head.metadata.managedFields)
    if managed and first:
        at = _value(text, b'"managedFields":', managed)
        end = at + len(managed) + 1
        if at > 0 and text[end - 1 : end] == b"}" and text[start : start + 1] == b"{":
            return start, end
    span = bytes(_head_raw.decode(text).metadata)
    if not text.startswith(span, start) or not (first or text.count(b'"metadata":') == 1):
        return None
    return start, start + len(span)


def _usual_starts(head: _Head) -> tuple[bytes, ...]:
    kind, version = f'"kind":"{head.kind}",', f'"apiVersion":"{head.apiVersion}",'
    return b"{", f"{{{kind}{version}".encode(), f"{{{version}{kind}".encode()


def _managed(text: bytes, start: int, end: int, managed: bytes) -> tuple[int, int] | None:
    """From where to where managedFields are cut out, with one comma beside them; an empty cut where there are none,
    None where they are not found."""
    if not managed:
        return end, end
    key = b'"managedFields":'
    at = _value(text, key, managed, start)
    if at < 0:
        return None
    first, last = at - len(key), at + len(managed)
    if text[last : last + 1] == b",":
        return first, last + 1
    if text[first - 1 : first] == b",":
        return first - 1, last
    return (first, last) if text[first - 1 : first] == b"{" and text[last : last + 1] == b"}" else None


def _annotations(text: bytes, start: int, end: int, annotations: bytes) -> tuple[int, int] | None:
    if not annotations:
        return start + 1, NO_ANNOTATIONS
    at = _value(text, b'"annotations":', annotations, start)
    # `"annotations":null` beside ours would be a duplicate key; such an object takes the slow way.
    if at < 0 or at >= end or annotations == b"null":
        return None
    return at + len(annotations) - 1, EMPTY_ANNOTATIONS if annotations[1:-1].strip() == b"" else ANNOTATIONS


def _prefix(head: _Head, api_version: str, kind: str) -> bytes:
    prefix = b""
    if not head.kind:
        prefix += b'"kind":' + orjson.dumps(kind) + b","
    if not head.apiVersion:
        prefix += b'"apiVersion":' + orjson.dumps(api_version) + b","
    return prefix


def _value(text: bytes, key: bytes, value: bytes, start: int = 0) -> int:
    """Where `value` begins behind the first `key` from `start` that it follows at once; -1 where there is none.

    Compared in place: searching for a value of several KB costs ten times as much. The first is the right one: nothing
    before it can hold the same bytes, for they contain the object's own resourceVersion or stand in no string."""
    at = text.find(key, start)
    while at >= 0:
        begin = at + len(key)
        if text.startswith(value, begin):
            return begin
        at = text.find(key, begin)
    return -1


def _cut_slowly(raw: bytes, api_version: str, kind: str) -> Cut:
    """For bytes with unusual spacing, order or repeats: take them apart by member and put them together again in the
    order that `cut` knows. Members' own bytes stay as they are; of a key that comes twice the last stays."""
    whole = _members.decode(raw)
    meta = _members.decode(whole.pop("metadata"))
    metadata = _metadata.decode(_encode(meta))
    meta.pop("managedFields", None)
    meta.pop("resourceVersion", None)
    annotations = bytes(meta.pop("annotations", b"")).strip()
    if annotations in (b"null", b"") or annotations[1:-1].strip() == b"":
        annotations = b""
    head = b'{"kind":' + _text(whole.pop("kind", b""), kind)
    head += b',"apiVersion":' + _text(whole.pop("apiVersion", b""), api_version) + b',"metadata":'
    span = b'{"resourceVersion":""'
    version_at = len(span) - 1
    annotations_at, form = 1, NO_ANNOTATIONS
    if annotations:
        span += b',"annotations":' + annotations
        annotations_at, form = len(span) - 1, ANNOTATIONS
    span += _rest(meta)
    shift = len(head)
    layout = (version_at + shift, annotations_at + shift, form, shift, shift + len(span))
    return Cut(head + span + _rest(whole), layout, metadata)


def _text(value: msgspec.Raw | bytes, default: str) -> bytes:
    given = bytes(value).strip()
    return given if given not in (b"", b'""', b"null") else orjson.dumps(default)


def _rest(members: dict[str, msgspec.Raw]) -> bytes:
    """The members and the closing brace, after members that are there already."""
    return b"," + _encode(members)[1:] if members else b"}"


_ESCAPES = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def _lone_surrogates(text: bytes) -> list[int]:
    """Offsets of the `\\uXXXX` escapes that are one half of a pair without the other."""
    lone: list[int] = []
    open_high = -1
    open_end = -1
    for escape in _ESCAPES.finditer(text):
        code = int(escape[1], 16) if escape[1] else 0
        if 0xDC00 <= code < 0xE000 and open_high >= 0 and escape.start() == open_end:
            open_high = -1
            continue
        if open_high >= 0:
            lone.append(open_high)
            open_high = -1
        if 0xD800 <= code < 0xDC00:
            open_high, open_end = escape.start(), escape.end()
        elif 0xDC00 <= code < 0xE000:
            lone.append(escape.start())
    if open_high >= 0:
        lone.append(open_high)
    return lone


def _without_lone_surrogates(text: bytes) -> bytes:
    """The same length, U+FFFD in their place."""
    if not _may_hold_surrogates(text):
        return text
    readable = bytearray(text)
    for at in _lone_surrogates(text):
        readable[at : at + 6] = b"\\ufffd"
    return bytes(readable)


def _may_hold_surrogates(text: bytes) -> bool:
    return _SUSPECT.search(text) is not None


def _holds_nul(text: bytes) -> bool:
    return any(escape[1] == b"0000" for escape in _ESCAPES.finditer(text))


def is_lossy(body: bytes) -> bool:
    """Whether it holds NUL, lone surrogates or bytes that are no UTF-8, none of which JSONB can hold (traps 32)."""
    if _SUSPECT.search(body) and (_holds_nul(body) or _lone_surrogates(body)):
        return True
    if body.isascii():
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def join(body: bytes, layout: Layout, version: str, annotations: dict[str, str]) -> bytes:
    """The object as served: `version` as its resourceVersion, `annotations` (ours, at least one) added."""
    return _spliced(body, layout, 0, len(body), version, annotations)


def join_metadata(body: bytes, layout: Layout, version: str, annotations: dict[str, str]) -> bytes:
    """Only the metadata object, as served."""
    return _spliced(body, layout, layout[3], layout[4], version, annotations)


def _spliced(body: bytes, layout: Layout, start: int, end: int, version: str, annotations: dict[str, str]) -> bytes:
    version_at, annotations_at, form = layout[:3]
    ours = orjson.dumps(annotations)
    if form == NO_ANNOTATIONS:
        ours = b'"annotations":' + ours + b","
    elif form == ANNOTATIONS:
        ours = b"," + ours[1:-1]
    else:
        ours = ours[1:-1]
    value = version.encode()
    if version_at < annotations_at:
        parts = (body[start:version_at], value, body[version_at:annotations_at], ours, body[annotations_at:end])
    else:
        parts = (body[start:annotations_at], ours, body[annotations_at:version_at], value, body[version_at:end])
    return b"".join(parts)


def fingerprint(shape: str, uid: str, resource_version: str, body: bytes) -> int:
    """64-bit hash of (shape, uid, the member's resourceVersion, body), signed as Postgres stores it."""
    hasher = xxhash.xxh3_64(f"{shape}\x00{uid}\x00{resource_version}\x00".encode())
    hasher.update(body)
    return signed(hasher.intdigest())


def bucket(namespace: str, name: str) -> int:
    """The digest bucket (0–255) of a key."""
    return xxhash.xxh3_64_intdigest(f"{namespace}\x00{name}".encode()) & 0xFF


def signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: int) -> int:
    return value & 0xFFFF_FFFF_FFFF_FFFF
