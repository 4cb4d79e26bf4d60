"""A fleet made of rows alone: clusters, types and objects put into the store as ingest does, without agents."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
import zstandard

from aggregator.ingest.prepare import prepare
from aggregator.storage import batch, types
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database
from schema import body
from schema.printing import encode_cells
from schema.resource import PrinterColumn, ResourceType
from schema.summary import summariser
from schema.wire import Delete, Delta, Upsert

PODS = ResourceType("", "v1", "pods", "Pod", True, "pod", ("po",), ("all",))
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", False, "namespace", ("ns",))
NODES = ResourceType("", "v1", "nodes", "Node", False, "node", ("no",))
CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap", True, "configmap", ("cm",))
SERVICES = ResourceType("", "v1", "services", "Service", True, "service", ("svc",), ("all",))
DEPLOYMENTS = ResourceType("apps", "v1", "deployments", "Deployment", True, "deployment", ("deploy",), ("all",))
WIDGETS = ResourceType(
    *("example.com", "v1", "widgets", "Widget", True, "widget"),
    columns=(PrinterColumn("Color", "string", ".spec.color"), PrinterColumn("Size", "integer", ".spec.size")),
    selectable_fields=(".spec.color",),
)


@dataclass
class Member:
    id: int
    acked: int = 0
    version: int = 100
    types: dict[ResourceType, int] = field(default_factory=dict)
    live: dict[tuple[ResourceType, str, str], str] = field(default_factory=dict)


class Fleet:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.members: dict[str, Member] = {}

    async def add(self, name: str, *served: ResourceType, labels: Mapping[str, str] | None = None) -> Member:
        """A cluster that is in sync and serves these types."""
        async with self.database.writers.acquire() as connection:
            cluster_id = await connection.fetchval(
                "insert into fleet.cluster (name, uid, labels, member_seen, agent_seen, facts) "
                "values ($1, $1, $2, now(), now(), $3) returning id",
                name,
                orjson.dumps(dict(labels or {})),
                b'{"kubernetes_version":"v1.37.2"}',
            )
            await connection.execute("insert into fleet.session (cluster_id, epoch) values ($1, 1)", cluster_id)
        self.members[name] = Member(cluster_id)
        await self.serve(name, *served)
        return self.members[name]

    async def serve(self, name: str, *served: ResourceType) -> None:
        member = self.members[name]
        async with self.database.writers.acquire() as connection:
            stored = await types.announce(connection, member.id, served)
            await connection.execute("update fleet.cluster_type set state = 'Synced' where state = 'Pending'")
        member.types |= {type: one.id for type, one in zip(served, stored, strict=True)}

    async def put(self, name: str, type: ResourceType, *objects: dict[str, Any]) -> None:
        """Create or replace objects, as one batch; metadata that they lack is made up."""
        member = self.members[name]
        await self._commit(member, [self._upsert(member, type, one) for one in objects])

    async def delete(self, name: str, type: ResourceType, *keys: tuple[str, str]) -> None:
        """`keys`: (namespace, name)."""
        member = self.members[name]
        deltas = []
        for namespace, object_name in keys:
            uid = member.live.pop((type, namespace, object_name))
            deltas.append(Delete(member.types[type], namespace, object_name, uid, time.time()))
        await self._commit(member, deltas)

    async def _commit(self, member: Member, deltas: Iterable[Delta]) -> None:
        deltas = list(deltas)
        prepared = prepare(member.acked + 1, deltas)
        assert not prepared.refused, prepared.refused
        last = member.acked + len(deltas)
        async with self.database.writers.acquire() as connection:
            applied = await batch.apply(connection, member.id, 1, member.acked + 1, last, prepared.rows)
        assert applied.outcome == "applied", applied
        member.acked = applied.acked

    def _upsert(self, member: Member, type: ResourceType, one: dict[str, Any]) -> Upsert:
        member.version += 1
        metadata = dict(one.get("metadata", {}))
        key = (type, metadata.get("namespace", ""), metadata["name"])
        uid = member.live.setdefault(key, metadata.get("uid") or f"u-{member.id}-{member.version}")
        metadata |= {"uid": uid, "resourceVersion": str(member.version)}
        metadata.setdefault("creationTimestamp", "2026-11-24T10:00:00Z")
        cut = body.cut(orjson.dumps({**one, "metadata": metadata}), type.api_version, type.kind)
        summary = summariser(type.group, type.resource, type.kind, type.columns, type.selectable_fields)(cut.body)
        return Upsert(
            type=member.types[type],
            namespace=key[1],
            name=key[2],
            uid=uid,
            resource_version=str(member.version),
            fingerprint=body.fingerprint("", uid, str(member.version), cut.body),
            bucket=body.bucket(key[1], key[2]),
            created=1_795_514_400,
            owners=[],
            labels=[f"{key}={value}" for key, value in (metadata.get("labels") or {}).items()],
            fields=summary.fields,
            status=summary.status,
            cells=encode_cells(summary.cells),
            layout=list(cut.layout),
            size=len(cut.body),
            lossy=False,
            body=zstandard.ZstdCompressor(level=1, write_content_size=True).compress(cut.body),
            seen=time.time(),
        )


def pod(
    namespace: str, name: str, labels: Mapping[str, str] | None = None, phase: str = "Running", node: str = "n1"
) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, **({"labels": dict(labels)} if labels else {})},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "nginx:1.27"}], "restartPolicy": "Always"},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.7",
            "containerStatuses": [
                {
                    **{"name": "main", "ready": phase == "Running", "restartCount": 0, "image": "nginx:1.27"},
                    **{"imageID": "", "state": {"running": {"startedAt": "2026-11-24T10:00:00Z"}}, "lastState": {}},
                }
            ],
        },
    }


async def catalog_of(database: Database) -> Catalog:
    catalog = Catalog(database)
    await catalog.refresh()
    return catalog


def decoded(data: bytes) -> Any:
    return msgspec.json.decode(data)
