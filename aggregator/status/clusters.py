"""Phase, conditions and types of a cluster, computed when asked: nothing can be stale about staleness."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from aggregator.rbac.scope import Scope
from aggregator.status.views import Allocatable, ClusterView, Condition, Phase, RejectedView, TypeView
from aggregator.storage import rejected
from aggregator.storage.catalog import Catalog, ClusterEntry, ClusterTypeEntry
from aggregator.storage.pool import Database
from schema.errors import NotFound
from schema.resource import ResourceType, TypeState

_UNDER_WAY: Final[frozenset[TypeState]] = frozenset({"Pending", "Listing"})
_TROUBLED: Final[frozenset[TypeState]] = frozenset({"Denied", "Failed"})
REJECTED_SHOWN: Final = 20
_NODES: Final = ResourceType("", "v1", "nodes", "Node", False)
_PODS: Final = ResourceType("", "v1", "pods", "Pod", True)

Counts = Mapping[tuple[int, int], int]
"""Rejected objects by (cluster id, type id)."""


async def all_clusters(database: Database, catalog: Catalog, scope: Scope) -> list[ClusterView]:
    """Every cluster that the scope shows, by name."""
    counts = await rejected.counts(database)
    now = datetime.now(UTC)
    entries = [entry for entry in catalog.clusters.values() if scope.allows_cluster(entry.name)]
    return [view(catalog, entry, scope, now, counts) for entry in entries]


async def one_cluster(database: Database, catalog: Catalog, scope: Scope, name: str) -> ClusterView:
    """One cluster with the objects that were set aside. Raises NotFound, also where the scope hides it."""
    entry = catalog.clusters.get(name)
    if entry is None or not scope.allows_cluster(name):
        raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
    shown = view(catalog, entry, scope, datetime.now(UTC), await rejected.counts(database))
    if not scope.namespaces and not scope.kinds:
        shown.rejected = [_rejected(catalog, row) for row in await rejected.some(database, entry.id, REJECTED_SHOWN)]
    return shown


def view(catalog: Catalog, entry: ClusterEntry, scope: Scope, now: datetime, rejected_counts: Counts) -> ClusterView:
    types = _types(catalog, entry, scope)
    set_aside = sum(rejected_counts.get((entry.id, type.type_id), 0) for type in types)
    age = entry.age(now)
    facts = entry.facts
    counted = not scope.namespaces
    nodes, pods = counted and scope.allows_type(_NODES), counted and scope.allows_type(_PODS)
    return ClusterView(
        name=entry.name,
        uid=entry.uid,
        phase=phase_of(catalog, entry, types, now, set_aside),
        labels=dict(entry.labels),
        version=facts.kubernetes_version,
        platform=facts.platform,
        api_server=facts.api_server,
        nodes=facts.nodes if nodes else None,
        nodes_ready=facts.nodes_ready if nodes else None,
        pods=facts.pods if pods else None,
        allocatable=Allocatable(facts.cpu, facts.memory) if nodes else None,
        created=stamp(entry.created),
        last_seen=None if entry.member_seen is None else stamp(entry.member_seen),
        age_seconds=None if age is None else round(age.total_seconds(), 1),
        stale=catalog.is_stale(entry, now),
        message=entry.message,
        objects=sum(type.objects for type in types) if counted else None,
        rejected_objects=set_aside if counted else None,
        policy_generation=entry.policy_generation,
        conditions=_conditions(catalog, entry, types, now, _number(set_aside, counted)),
        types=[_type_view(type, now, rejected_counts.get((entry.id, type.type_id), 0), counted) for type in types],
    )


def phase_of(
    catalog: Catalog, entry: ClusterEntry, types: list[ClusterTypeEntry], now: datetime, rejected_objects: int
) -> Phase:
    """The one word for a cluster; what weighs most comes first."""
    if entry.removing:
        return "Removing"
    if entry.paused:
        return "Paused"
    if entry.member_seen is None:
        return "Pending"
    if catalog.is_stale(entry, now):
        return "Stale"
    if not types or any(type.state in _UNDER_WAY for type in types):
        return "Syncing"
    if rejected_objects or any(type.state in _TROUBLED for type in types):
        return "Degraded"
    return "Ready"


def stamp(time: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _types(catalog: Catalog, entry: ClusterEntry, scope: Scope) -> list[ClusterTypeEntry]:
    own = (type.clusters.get(entry.id) for type in catalog.types.values())
    found = [type for type in own if type is not None and scope.allows_type(type.definition)]
    return sorted(found, key=lambda type: type.definition.name)


def _type_view(type: ClusterTypeEntry, now: datetime, set_aside: int, counted: bool) -> TypeView:
    lag = None if type.current_at is None else max(0.0, (now - type.current_at).total_seconds())
    number = _number(set_aside, counted)
    reasons = [type.reason, f"{number} objects could not be stored" if number else ""]
    return TypeView(
        type=type.definition.name,
        group=type.definition.group,
        version=type.definition.version,
        kind=type.definition.kind,
        namespaced=type.definition.namespaced,
        state=type.state,
        count=type.objects if counted else None,
        rejected=set_aside if counted else None,
        lag_seconds=None if lag is None else round(lag, 1),
        reason="; ".join(filter(None, reasons)),
    )


def _rejected(catalog: Catalog, row: rejected.RejectedRow) -> RejectedView:
    known = catalog.type_by_id.get(row.type_id)
    name = known.definition.name if known else f"#{row.type_id}"
    return RejectedView(name, row.namespace, row.name, row.uid, row.reason, stamp(row.at))


def _conditions(
    catalog: Catalog, entry: ClusterEntry, types: list[ClusterTypeEntry], now: datetime, rejected_objects: str
) -> list[Condition]:
    heard = entry.agent_seen is not None and now - entry.agent_seen <= catalog.stale_after
    answering = not catalog.is_stale(entry, now)
    waiting = [type.definition.name for type in types if type.state in _UNDER_WAY]
    synced = bool(types) and not waiting
    troubled = [f"{type.definition.name}: {type.reason or type.state}" for type in types if type.state in _TROUBLED]
    silent = "" if heard else "no heartbeat from an agent with this cluster's credential"
    unsynced = _some(waiting) or ("" if types else "its types are not known yet")
    set_aside = f"{rejected_objects} objects could not be stored" if rejected_objects else ""
    return [
        _condition("AgentConnected", heard, "Heartbeat", "NoHeartbeat", silent),
        _condition("MemberReachable", answering, "Answering", "NotAnswering", entry.message),
        _condition("Synced", synced, "Synced", "Syncing", unsynced),
        _condition("TypesHealthy", not troubled, "Healthy", "TypesInTrouble", _some(troubled)),
        _condition("ObjectsAccepted", not rejected_objects, "Accepted", "ObjectsRejected", set_aside),
    ]


def _condition(type: str, good: bool, reason: str, otherwise: str, message: str) -> Condition:
    return Condition(type, "True" if good else "False", reason if good else otherwise, message)


def _number(count: int, counted: bool) -> str:
    """For a sentence; empty for none. Where namespaces are hidden it does not tell how many."""
    return (str(count) if counted else "some") if count else ""


def _some(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + rest
