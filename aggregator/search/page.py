"""Continue tokens: where a list goes on, opaque to callers.

A token holds the cursor of the list's first page, which all pages hand out (traps 2), and the key of the last row
given. It is checked, not secret: scope and question come with each request and are compiled anew."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import xxhash

from aggregator.search.query import Key, Query
from schema.errors import BadRequest, Expired

_VERSION: Final = 1
MAX_TOKEN: Final = 4096


_Id = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
_Text = Annotated[str, msgspec.Meta(max_length=2048, pattern="^[^\\x00]*$")]


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    store: str
    question: int
    cursor: _Count
    seen: _Count
    type_id: _Id
    namespace: _Text
    name: _Text
    cluster_id: _Id


@dataclass(frozen=True)
class Place:
    """`cursor`: of the first page. `seen`: rows given so far."""

    cursor: int
    seen: int
    after: Key


def encode(place: Place, query: Query, store: str) -> str:
    payload = msgspec.msgpack.encode(
        _Payload(_VERSION, store, _question(query), place.cursor, place.seen, *place.after)
    )
    return _text(_checksum(payload) + payload)


def decode(token: str, query: Query, store: str, floor: int) -> Place:
    """Raises BadRequest for what is no token of this question, Expired for one that is too old.

    `store`: lineage of the database; `floor`: changes up to it are no longer kept."""
    payload = _payload(token)
    if payload.question != _question(query):
        raise BadRequest("the continue token belongs to another question; give the same path and selectors with it")
    if payload.store != store or payload.cursor < floor:
        raise Expired("the continue token is too old: the list that it continues can no longer be watched; list again")
    key = Key(payload.type_id, payload.namespace, payload.name, payload.cluster_id)
    return Place(payload.cursor, payload.seen, key)


def _payload(token: str) -> _Payload:
    wrong = BadRequest("the continue token is not one that was given out here; list again without it")
    if len(token) > MAX_TOKEN:
        raise wrong
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        payload = msgspec.msgpack.decode(data[8:], type=_Payload)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise wrong from error
    # The last character has bits that decoding drops: one token has one spelling.
    if data[:8] != _checksum(data[8:]) or payload.version != _VERSION or _text(data) != token:
        raise wrong
    return payload


def _question(query: Query) -> int:
    return xxhash.xxh3_64_intdigest(repr((query.type, query.where)).encode())


def _checksum(payload: bytes) -> bytes:
    return xxhash.xxh3_64_digest(payload, seed=0xF1EE7)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
