"""The bytes of an object: cut apart in the agent once, joined at the aggregator at each reading, never parsed there.

A body is the object's own JSON without `managedFields`, with `apiVersion` and `kind` put in where a list left them out
(traps 17), and with the value of `metadata.resourceVersion` cut out. A layout says where things are, as byte offsets:

    (version_at, annotations_at, annotations_form, metadata_start, metadata_end)

- version_at: between the quotes of the emptied resourceVersion.
- annotations_at, annotations_form: where annotations can be put in. 0: there are none, a whole member goes after the `{`
  of metadata; 1: before the `}` of annotations that has members; 2: the same, but it is empty. Last, since of a key that
  comes twice readers take the last: a member's object cannot claim to be of another cluster.
- metadata_start, metadata_end: the span of the metadata object, braces included.
"""

from __future__ import annotations

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
    metadata: msgspec.Raw = msgspec.Raw(b"")
    apiVersion: str = ""  # noqa: N815
    kind: str = ""


class Cut(NamedTuple):
    body: bytes
    layout: Layout
    metadata: Metadata


_head = msgspec.json.Decoder(_Head)
_metadata = msgspec.json.Decoder(Metadata)


def cut(raw: bytes, api_version: str, kind: str) -> Cut:
    """Make body, layout and metadata of one object as the API server sent it.

    Raises msgspec.DecodeError where `raw` is not a JSON object with metadata of the right types."""
    head = _head.decode(raw)
    span = bytes(head.metadata)
    metadata = _metadata.decode(span)
    start = _member(raw, b'"metadata":', span)
    slim = _without(span, b'"managedFields":', bytes(metadata.managedFields))
    value = metadata.resourceVersion.encode()
    version = b'"resourceVersion":"' + value + b'"'
    # A label or annotation may be called resourceVersion too and have the same value.
    if start < 0 or slim is None or not value or slim.count(version) != 1:
        return _cut_slowly(raw, api_version, kind)
    prefix = b""
    if not head.kind:
        prefix += b'"kind":' + orjson.dumps(kind) + b","
    if not head.apiVersion:
        prefix += b'"apiVersion":' + orjson.dumps(api_version) + b","
    version_at = slim.index(version) + len(version) - 1 - len(value)
    slim = slim[:version_at] + slim[version_at + len(value) :]
    annotations_at, form = _annotations(slim, bytes(metadata.annotations))
    if annotations_at < 0:
        return _cut_slowly(raw, api_version, kind)
    open_brace = raw.index(b"{") + 1
    body = b"".join((raw[:open_brace], prefix, raw[open_brace:start], slim, raw[start + len(span) :]))
    shift = start + len(prefix)
    return Cut(body, (version_at + shift, annotations_at + shift, form, shift, shift + len(slim)), metadata)


def _member(text: bytes, key: bytes, value: bytes) -> int:
    """Where `value` begins behind the first `key` that it follows at once; -1 where the spacing is unusual.

    Compared in place: searching for a value of several KB costs ten times as much. The first one is the right one:
    nothing before it can hold the same bytes, for they contain the object's own resourceVersion or stand in no string."""
    at = text.find(key)
    while at >= 0:
        begin = at + len(key)
        if text.startswith(value, begin):
            return begin
        at = text.find(key, begin)
    return -1


def _without(span: bytes, key: bytes, value: bytes) -> bytes | None:
    """`span` without the member `key``value` and one comma beside it; None where it is there but not found."""
    if not value:
        return span
    begin = _member(span, key, value)
    if begin < 0:
        return None
    start, end = begin - len(key), begin + len(value)
    if span[end : end + 1] == b",":
        return span[:start] + span[end + 1 :]
    if span[start - 1 : start] == b",":
        return span[: start - 1] + span[end:]
    return span[:start] + span[end:]


def _annotations(slim: bytes, annotations: bytes) -> tuple[int, int]:
    if not annotations or annotations == b"null":
        # `"annotations":null` beside ours would be a duplicate key; such an object takes the slow way.
        return (-1, 0) if annotations else (1, NO_ANNOTATIONS)
    begin = _member(slim, b'"annotations":', annotations)
    if begin < 0:
        return -1, 0
    closing = begin + len(annotations) - 1
    return closing, EMPTY_ANNOTATIONS if annotations[1:-1].strip() == b"" else ANNOTATIONS


def _cut_slowly(raw: bytes, api_version: str, kind: str) -> Cut:
    """For bytes with unusual spacing, order or repeats: decode and write anew in the order that `cut` knows."""
    whole = {"kind": kind, "apiVersion": api_version} | orjson.loads(raw)
    meta = dict(whole.pop("metadata", None) or {})
    meta.pop("managedFields", None)
    version = str(meta.pop("resourceVersion", "") or "")
    if not meta.get("annotations"):
        meta.pop("annotations", None)
    annotations = meta.pop("annotations", None)
    head = orjson.dumps({"kind": whole.pop("kind"), "apiVersion": whole.pop("apiVersion")})[:-1] + b',"metadata":'
    start = b'{"resourceVersion":"",'
    version_at = len(start) - 2
    if annotations:
        start += b'"annotations":' + orjson.dumps(annotations)
        annotations_at, form = len(start) - 1, ANNOTATIONS
        start += b","
    else:
        annotations_at, form = 1, NO_ANNOTATIONS
    rest = orjson.dumps(meta)[1:]
    span = start[:-1] + rest if rest == b"}" else start + rest
    tail = orjson.dumps(whole)[1:]
    body = head + span + (tail if tail == b"}" else b"," + tail)
    shift = len(head)
    metadata = _metadata.decode(orjson.dumps({**meta, "resourceVersion": version}))
    return Cut(body, (version_at + shift, annotations_at + shift, form, shift, shift + len(span)), metadata)


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
