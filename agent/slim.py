"""From an object as the API server sent it to the delta that travels. One decode of the metadata, bytes else."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import xxhash
import zstandard

from agent import secrets
from agent.filters import Filter
from schema.body import SLIM_VERSION, Cut, bucket, cut, fingerprint, is_lossy
from schema.policy import Policy
from schema.printing import encode_cells
from schema.resource import ResourceType
from schema.summary import SHAPE_VERSION, Summary, columns_for, summariser
from schema.wire import MAX_OBJECT_BYTES, Delete, Delta, Reject, Upsert

ZSTD_LEVEL: Final = 1


class Print(NamedTuple):
    """What a comparison needs of an object."""

    namespace: str
    name: str
    uid: str
    fingerprint: int
    bucket: int


class Unreadable(Exception):
    """Not even the name of an object can be read."""


class Slimmer:
    """Prepared for one type under one policy. `shape` names all that its fingerprints depend on beside the object."""

    def __init__(self, type: ResourceType, policy: Policy) -> None:
        self.type = type
        self.filter = Filter(policy, type)
        self.secret = (type.group, type.resource) == ("", "secrets")
        self.shape = _shape(type, self.filter)
        self._summarise = summariser(type.group, type.resource, type.kind, type.columns, type.selectable_fields)
        self._columns = len(columns_for(type.group, type.resource, type.columns))
        self._compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress

    def print(self, raw: bytes) -> Print | None:
        """Fingerprint of an object; None where the policy leaves it out."""
        try:
            piece = self._cut(raw)
        except msgspec.DecodeError:
            bare = self._identity(raw)
            place = bucket(bare.namespace, bare.name)
            return Print(bare.namespace, bare.name, bare.uid, self._bare_fingerprint(bare), place)
        if piece is None:
            return None
        meta = piece.metadata
        return Print(meta.namespace, meta.name, meta.uid, self._fingerprint(piece), bucket(meta.namespace, meta.name))

    def upsert(self, type_id: int, raw: bytes, seen: float) -> Delta:
        """The delta of an object that is there. A Delete where the policy leaves out what it may have let in before."""
        try:
            piece = self._cut(raw)
        except msgspec.DecodeError as error:
            # The decoder's message names a place and a type, never a value.
            return self._reject(type_id, self._identity(raw), f"the object cannot be read: {error}", seen)
        if piece is None:
            return self.delete(type_id, raw, seen)
        meta, body = piece.metadata, piece.body
        mark = self._fingerprint(piece)
        place = bucket(meta.namespace, meta.name)
        if len(body) > MAX_OBJECT_BYTES:
            reason = f"the object has {len(body)} bytes, more than {MAX_OBJECT_BYTES}"
            return Reject(type_id, meta.namespace, meta.name, meta.uid, mark, place, reason, seen)
        summary = self._summary(piece)
        return Upsert(
            type_id,
            meta.namespace,
            meta.name,
            meta.uid,
            meta.resourceVersion,
            mark,
            place,
            _seconds(meta.creationTimestamp),
            [owner.uid for owner in meta.ownerReferences or () if owner.uid],
            [f"{key}={value}" for key, value in (meta.labels or {}).items()],
            summary.fields,
            summary.status,
            encode_cells(summary.cells),
            list(piece.layout),
            len(body),
            is_lossy(body),
            self._compress(body),
            seen,
        )

    def delete(self, type_id: int, raw: bytes, seen: float) -> Delta:
        """Raises Unreadable."""
        meta = self._identity(raw)
        return Delete(type_id, meta.namespace, meta.name, meta.uid, seen)

    def _cut(self, raw: bytes) -> Cut | None:
        piece = cut(secrets.redacted(raw) if self.secret else raw, self.type.api_version, self.type.kind)
        if self.filter.everything or self.filter.lets(piece.metadata.namespace, piece.metadata.labels or {}):
            return piece
        return None

    def _identity(self, raw: bytes) -> _Identity:
        try:
            return _decode_identity(raw).metadata
        except msgspec.DecodeError as error:
            raise Unreadable(f"an object of {self.type.name} cannot be read at all: {error}") from error

    def _reject(self, type_id: int, meta: _Identity, reason: str, seen: float) -> Reject:
        place = bucket(meta.namespace, meta.name)
        mark = self._bare_fingerprint(meta)
        return Reject(type_id, meta.namespace, meta.name, meta.uid, mark, place, reason, seen)

    def _bare_fingerprint(self, meta: _Identity) -> int:
        """Of an object that cannot be read: never over its bytes, which may be a Secret's."""
        return fingerprint(self.shape, meta.uid, meta.resourceVersion, b"unreadable")

    def _fingerprint(self, piece: Cut) -> int:
        meta = piece.metadata
        return fingerprint(self.shape, meta.uid, meta.resourceVersion, piece.body)

    def _summary(self, piece: Cut) -> Summary:
        try:
            return self._summarise(piece.body)
        except msgspec.DecodeError:
            # A field of another form than the Kubernetes API's (an aggregated API may do that): the object is stored
            # whole all the same, only its Table row is bare.
            return Summary([piece.metadata.name, *[""] * (self._columns - 1)], "", [])


class _Identity(msgspec.Struct):
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resourceVersion: str = ""  # noqa: N815 (Kubernetes' own spelling, here and below)


class _Identified(msgspec.Struct):
    metadata: _Identity


class _Versioned(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815


class _WithVersion(msgspec.Struct):
    metadata: _Versioned


_decode_identity = msgspec.json.Decoder(_Identified).decode
_decode_version = msgspec.json.Decoder(_WithVersion).decode


def version_of(raw: bytes) -> str:
    """metadata.resourceVersion of an object or a bookmark. Raises msgspec.DecodeError."""
    return _decode_version(raw).metadata.resourceVersion


def _shape(type: ResourceType, filter: Filter) -> str:
    columns = msgspec.json.encode([type.columns, type.selectable_fields])
    custom = xxhash.xxh3_64_hexdigest(columns) if type.columns is not None or type.selectable_fields else ""
    redaction = "empty" if (type.group, type.resource) == ("", "secrets") else ""
    return f"{SLIM_VERSION}.{SHAPE_VERSION}.{custom}.{filter.digest}.{redaction}"


def _seconds(timestamp: str | None) -> int:
    if not timestamp:
        return 0
    try:
        return int(datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return 0
