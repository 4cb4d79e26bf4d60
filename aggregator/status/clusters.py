"""Phase, conditions and types of a cluster, computed when asked: nothing can be stale about staleness."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

from aggregator.rbac.scope import Scope
from aggregator.storage import rejected
from aggregator.storage.catalog import Catalog, ClusterEntry, ClusterTypeEntry
from aggregator.storage.pool import Database
from schema.errors import NotFound
from schema.resource import TypeState

Phase = Literal["Pending", "Syncing", "Ready", "Degraded", "Stale", "Paused", "Removing"]
View = dict[str, Any]
_UNDER_WAY: Final[frozenset[TypeState]] = frozenset({"Pending", "Listing"})
_TROUBLED: Final[frozenset[TypeState]] = frozenset({"Denied", "Failed"})
REJECTED_SHOWN: Final = 20


async def all_clusters(database: Database, catalog: Catalog, scope: Scope) -> list[View]:
    """Every cluster that the scope shows, by name."""
    counts = await rejected.counts(database)
    now = datetime.now(UTC)
    return [
        view(catalog, entry, scope, now, counts.get(entry.id, 0))
        for entry in catalog.clusters.values()
        if scope.allows_cluster(entry.name)
    ]


async def one_cluster(database: Database, catalog: Catalog, scope: Scope, name: str) -> View:
    """One cluster with the objects that were set aside. Raises NotFound, also where the scope hides it."""
    entry = catalog.clusters.get(name)
    if entry is None or not scope.allows_cluster(name):
        raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
    counts = await rejected.counts(database)
    shown = view(catalog, entry, scope, datetime.now(UTC), counts.get(entry.id, 0))
    if scope == Scope.everything():
        shown["rejected"] = [
            {
                "type": catalog.type_by_id[row.type_id].definition.name if row.type_id in catalog.type_by_id else "",
                "namespace": row.namespace,
                "name": row.name,
                "uid": row.uid,
                "reason": row.reason,
                "at": stamp(row.at),
            }
            for row in await rejected.some(database, entry.id, REJECTED_SHOWN)
        ]
    return shown


def view(catalog: Catalog, entry: ClusterEntry, scope: Scope, now: datetime, rejected_objects: int) -> View:
    types = _types(catalog, entry, scope)
    # Counters are of whole types: to who may see some namespaces only they would tell of the others.
    counted = not scope.namespaces
    age = entry.age(now)
    phase = phase_of(catalog, entry, types, now, rejected_objects)
    return {
        "name": entry.name,
        "uid": entry.uid,
        "phase": phase,
        "labels": dict(entry.labels),
        "version": entry.facts.kubernetes_version,
        "platform": entry.facts.platform,
        "apiServer": entry.facts.api_server,
        "nodes": entry.facts.nodes,
        "nodesReady": entry.facts.nodes_ready,
        "pods": entry.facts.pods,
        "allocatable": {"cpuMillicores": entry.facts.cpu, "memoryBytes": entry.facts.memory},
        "created": stamp(entry.created),
        "lastSeen": stamp(entry.member_seen),
        "ageSeconds": None if age is None else round(age.total_seconds(), 1),
        "stale": catalog.is_stale(entry, now),
        "message": entry.message,
        "objects": sum(type.objects for type in types) if counted else None,
        "rejectedObjects": rejected_objects,
        "policyGeneration": entry.policy_generation,
        "conditions": _conditions(catalog, entry, types, now, rejected_objects),
        "types": [_type_view(type, now, counted) for type in types],
    }


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


def stamp(time: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _types(catalog: Catalog, entry: ClusterEntry, scope: Scope) -> list[ClusterTypeEntry]:
    own = (type.clusters.get(entry.id) for type in catalog.types.values())
    found = [type for type in own if type is not None and scope.allows_type(type.definition)]
    return sorted(found, key=lambda type: type.definition.name)


def _type_view(type: ClusterTypeEntry, now: datetime, counted: bool) -> View:
    lag = None if type.current_at is None else max(0.0, (now - type.current_at).total_seconds())
    return {
        "type": type.definition.name,
        "group": type.definition.group,
        "version": type.definition.version,
        "kind": type.definition.kind,
        "namespaced": type.definition.namespaced,
        "state": type.state,
        "count": type.objects if counted else None,
        "lagSeconds": None if lag is None else round(lag, 1),
        "reason": type.reason,
    }


def _conditions(
    catalog: Catalog, entry: ClusterEntry, types: list[ClusterTypeEntry], now: datetime, rejected_objects: int
) -> list[View]:
    heard = entry.agent_seen is not None and now - entry.agent_seen <= catalog.stale_after
    waiting = [type.definition.name for type in types if type.state in _UNDER_WAY]
    troubled = [f"{type.definition.name}: {type.reason or type.state}" for type in types if type.state in _TROUBLED]
    return [
        _condition(
            "AgentConnected",
            heard,
            "Heartbeat" if heard else "NoHeartbeat",
            "" if heard else "no heartbeat from an agent with this cluster's credential",
        ),
        _condition(
            "MemberReachable",
            not catalog.is_stale(entry, now),
            "Answering" if not catalog.is_stale(entry, now) else "NotAnswering",
            entry.message,
        ),
        _condition(
            "Synced",
            bool(types) and not waiting,
            "Synced" if types and not waiting else "Syncing",
            _some(waiting) or ("" if types else "its types are not known yet"),
        ),
        _condition("TypesHealthy", not troubled, "Healthy" if not troubled else "TypesInTrouble", _some(troubled)),
        _condition(
            "ObjectsAccepted",
            not rejected_objects,
            "Accepted" if not rejected_objects else "ObjectsRejected",
            f"{rejected_objects} objects could not be stored" if rejected_objects else "",
        ),
    ]


def _condition(type: str, good: bool, reason: str, message: str) -> View:
    return {"type": type, "status": "True" if good else "False", "reason": reason, "message": message}


def _some(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + rest
