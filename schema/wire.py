"""Messages between agent and aggregator: msgpack, zstd-compressed, under `/agent/v1/`.

Every request carries `Authorization: Bearer <credential>`; the cluster is the credential's, never a field. Requests and
answers are one message each; errors are JSON `{"reason","message","details"}` with the status of `schema.errors`.

| path                | request → answer             | what for                                                     |
|---------------------|------------------------------|--------------------------------------------------------------|
| POST session        | Hello → Welcome              | begin a session: fences older ones off, gives the epoch       |
| POST types          | Announce → Announced         | types that the member serves → their ids and what is stored   |
| POST push           | Batch → Ack                  | deltas; answered when committed                               |
| POST digest         | DigestRequest → DigestReply  | compare buckets of one type: which differ                     |
| POST fingerprints   | FingerprintsRequest → Fingerprints | what the store holds in some buckets, or of some keys   |
| POST heartbeat      | Heartbeat → HeartbeatReply   | liveness, facts, states of types                              |
| POST directives     | DirectivesRequest → Directives | long poll: what the aggregator wants done; results go back  |

Compatibility: fields are only ever added, at the end and with a default; an aggregator N serves agents N-1 and N+1.
"""

from __future__ import annotations

import functools
from typing import Any, Final, TypeVar

import msgspec
import zstandard

from schema.errors import BadRequest, TooLarge
from schema.policy import Policy
from schema.resource import ResourceType, TypeState

WIRE_VERSION: Final = 1
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""What a message may inflate to; enforced while inflating (traps 27)."""
MAX_OBJECT_BYTES: Final = 3 * 1024 * 1024
"""A larger object is set aside with a reason, never stored."""
BUCKETS: Final = 256
CONTENT_TYPE: Final = "application/vnd.fleetpedia.msgpack+zstd"


# -- session ------------------------------------------------------------------------------------------------------
class Facts(msgspec.Struct, omit_defaults=True):
    """What the member says of itself. `cpu` in millicores and `memory` in bytes are allocatable, summed over nodes."""

    kubernetes_version: str = ""
    platform: str = ""
    api_server: str = ""
    nodes: int = 0
    nodes_ready: int = 0
    pods: int = 0
    cpu: int = 0
    memory: int = 0


class Hello(msgspec.Struct, omit_defaults=True):
    wire: int
    agent_version: str
    instance: str
    """Random, new at each start of an agent process."""
    kube_system_uid: str
    lineage: int | None = None
    """Counter in the agent's Lease after this start's increment; None where no Lease may be written (traps 16)."""
    facts: Facts = msgspec.field(default_factory=Facts)
    trouble: str = ""
    """Why no session can begin (the member does not answer, or was refused): noted for people. `kube_system_uid` is
    empty then, and the answer is Unavailable."""


class Welcome(msgspec.Struct, omit_defaults=True):
    wire: int
    cluster: str
    epoch: int
    store: str
    """Identity of the database's own history; another one than before = compare everything by digest (traps 24)."""
    lineage: int | None = None
    """The counter that the store last saw; higher than the member's = the member was rewound."""
    policy: Policy = msgspec.field(default_factory=Policy)
    policy_generation: int = 0
    paused: bool = False
    heartbeat_seconds: float = 10.0
    digest_seconds: float = 3600.0
    max_batch_deltas: int = 500


# -- types --------------------------------------------------------------------------------------------------------
class AnnouncedType(msgspec.Struct, omit_defaults=True):
    type: ResourceType
    shape: str
    """What else the fingerprint depends on: versions of cells and slimming, the CRD's columns, the policy's filters."""


class GoneType(msgspec.Struct, array_like=True):
    group: str
    version: str
    resource: str
    state: TypeState
    """`Gone` or `Excluded`: its rows are swept."""
    reason: str


class Announce(msgspec.Struct, omit_defaults=True):
    """`complete`: discovery answered for everything. Types of the store that are neither here nor in `gone` are
    reported back in `Announced.unknown` either way: one APIService that is down for good must not keep every ghost
    alive. The agent decides, by a proof for each (traps 18)."""

    epoch: int
    types: list[AnnouncedType]
    gone: list[GoneType] = []
    complete: bool = False


class StoredType(msgspec.Struct, omit_defaults=True):
    """What the store holds of an announced type, in the order of the announcement."""

    id: int
    resource_version: str = ""
    """Version that a watch can resume from; empty = never listed to its end."""
    shape: str = ""
    objects: int = 0


class Announced(msgspec.Struct, omit_defaults=True):
    types: list[StoredType]
    unknown: list[tuple[str, str, str]] = []


# -- deltas -------------------------------------------------------------------------------------------------------
class Upsert(msgspec.Struct, array_like=True, tag_field="op", tag="u"):
    """One object, ready to store. `body` is a zstd frame of what `schema.body.cut` made; `layout` belongs to it."""

    type: int
    namespace: str
    name: str
    uid: str
    resource_version: str
    fingerprint: int
    """Signed 64 bit, as Postgres stores it."""
    bucket: int
    created: int
    """Unix seconds, 0 = none."""
    owners: list[str]
    labels: list[str]
    """`key=value`."""
    fields: list[str]
    """`path=value` of the field-selector paths that Kubernetes supports for the type."""
    status: str
    cells: bytes
    """JSON array of `schema.printing` cells."""
    layout: list[int]
    size: int
    """Bytes of the body, inflated."""
    lossy: bool
    """Holds NUL or lone surrogates, which JSONB cannot (traps 32)."""
    body: bytes
    seen: float
    """Unix seconds at which the agent read it."""


class Delete(msgspec.Struct, array_like=True, tag_field="op", tag="d"):
    type: int
    namespace: str
    name: str
    uid: str
    seen: float


class Reject(msgspec.Struct, array_like=True, tag_field="op", tag="r"):
    """An object that the agent cannot send: visible in status, part of the digest, not stored."""

    type: int
    namespace: str
    name: str
    uid: str
    fingerprint: int
    bucket: int
    reason: str
    seen: float


Delta = Upsert | Delete | Reject


class Mark(msgspec.Struct, array_like=True):
    """Everything of `type` up to `resource_version` is in this batch or an earlier one. `listed`: a list or comparison
    has come to its end, the type is in sync and has this `shape`."""

    type: int
    resource_version: str
    listed: bool = False
    shape: str = ""


class Batch(msgspec.Struct, array_like=True):
    """Deltas `first … first+len-1` of the epoch. A batch without deltas carries marks only."""

    epoch: int
    first: int
    deltas: list[Delta]
    marks: list[Mark]


class Rejected(msgspec.Struct, array_like=True):
    sequence: int
    reason: str


class Ack(msgspec.Struct, array_like=True):
    acked: int
    rejected: list[Rejected] = []
    noops: int = 0
    slow_down: float = 0.0
    """Seconds to wait before the next batch."""


# -- comparison ---------------------------------------------------------------------------------------------------
class DigestRequest(msgspec.Struct, array_like=True):
    """`counts` and `sums` (modulo 2^64, unsigned) per bucket, each `BUCKETS` long."""

    epoch: int
    type: int
    counts: list[int]
    sums: list[int]


class DigestReply(msgspec.Struct, array_like=True):
    differing: list[int]


class FingerprintsRequest(msgspec.Struct, array_like=True):
    """Either `buckets` or `keys` (namespace, name). The answer holds whole buckets; `rest` had no room in it."""

    epoch: int
    type: int
    buckets: list[int] = []
    keys: list[tuple[str, str]] = []


class Fingerprint(msgspec.Struct, array_like=True):
    namespace: str
    name: str
    uid: str
    fingerprint: int
    rejected: bool = False


class Fingerprints(msgspec.Struct, array_like=True):
    rows: list[Fingerprint]
    rest: list[int] = []


# -- heartbeat ----------------------------------------------------------------------------------------------------
class TypeReport(msgspec.Struct, omit_defaults=True):
    type: int
    state: TypeState
    reason: str = ""
    lag: float = 0.0
    """Seconds since the agent last knew the type to be current (its watch alive), 0 = now."""


class Heartbeat(msgspec.Struct, omit_defaults=True):
    epoch: int
    member_seen: float
    """Seconds ago that the member's API server last answered, at the time of sending."""
    facts: Facts | None = None
    types: list[TypeReport] = []
    """Those that changed since the last heartbeat, all of them in the first."""
    buffered: int = 0
    buffered_bytes: int = 0
    message: str = ""
    """Why the member does not answer, where it does not."""
    lineage: int | None = None
    """The Lease's counter as last renewed (`Hello.lineage`): a backup taken since the hello is then older, too."""


class HeartbeatReply(msgspec.Struct, omit_defaults=True):
    policy_generation: int = 0
    paused: bool = False
    store: str = ""


# -- directives ---------------------------------------------------------------------------------------------------
class Directive(msgspec.Struct, omit_defaults=True):
    """`verify` {types:[names]}: list anew, compare object by object; `relist` {types:[names]}: compare by digest and
    heal; `reload`: open a new session (policy or pause changed); `close`: the cluster is being removed, end."""

    id: int
    kind: str
    args: dict[str, Any] = {}


class DirectiveResult(msgspec.Struct, omit_defaults=True):
    id: int
    error: str = ""
    result: dict[str, Any] = {}
    """verify: {"types":[{"type","member","store","missing","ghost","different"}]}; keys: "NAMESPACE/NAME" or "NAME"."""


class DirectivesRequest(msgspec.Struct, omit_defaults=True):
    epoch: int
    done: list[DirectiveResult] = []
    wait: float = 25.0


class Directives(msgspec.Struct, omit_defaults=True):
    directives: list[Directive] = []


# -- bytes --------------------------------------------------------------------------------------------------------
M = TypeVar("M", bound=msgspec.Struct)
_encoder = msgspec.msgpack.Encoder()


def pack(message: msgspec.Struct, level: int = 1) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_content_size=True).compress(_encoder.encode(message))


def inflate(data: bytes, limit: int = MAX_BATCH_BYTES) -> bytes:
    """Inflate one zstd frame that states its size, never to more than `limit` bytes.

    Raises BadRequest for what is no such frame or is damaged, TooLarge beyond the limit. A frame that states less than
    it holds fails inside zstd, so the statement can be trusted for the allocation."""
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            raise BadRequest("the zstd frame does not state its content size")
        if size > limit:
            raise TooLarge(f"the message inflates to {size} bytes, more than {limit}; send smaller batches")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise BadRequest(f"the body is not a whole zstd frame: {error}") from error


@functools.cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def unpack(data: bytes, kind: type[M], limit: int = MAX_BATCH_BYTES) -> M:
    """The message in `data`. Raises as `inflate` does, and BadRequest where it is not a `kind`."""
    try:
        message: M = _decoder(kind).decode(inflate(data, limit))
    except msgspec.DecodeError as error:
        raise BadRequest(f"the message is not a {kind.__name__}: {error}") from error
    return message
