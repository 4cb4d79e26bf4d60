"""Objects as an agent would send them."""

from __future__ import annotations

import json
from typing import Any

import zstandard

from schema import body
from schema.resource import ResourceType
from schema.wire import Delete, Upsert

POD_TYPE = ResourceType("", "v1", "pods", "Pod", True, singular="pod", verbs=("get", "list", "watch"))
CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap", True, singular="configmap", verbs=("list", "watch"))
SEEN = 1_760_000_000.0
_compress = zstandard.ZstdCompressor(level=3).compress


def raw(name: str, *, namespace: str = "default", uid: str = "", version: str = "1", **more: Any) -> bytes:
    """An object as the API server writes it; `labels` and other keyword arguments go where they belong."""
    metadata = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}", "resourceVersion": version}
    if "labels" in more:
        metadata["labels"] = more.pop("labels")
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} | more
    return json.dumps(whole, separators=(",", ":")).encode()


def upsert_of(type_id: int, data: bytes, *, lossy: bool = False, fields: tuple[str, ...] = ()) -> Upsert:
    made = body.cut(data, "v1", "ConfigMap")
    meta = made.metadata
    return Upsert(
        type=type_id,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resourceVersion,
        fingerprint=body.fingerprint("shape", meta.uid, meta.resourceVersion, made.body),
        bucket=body.bucket(meta.namespace, meta.name),
        created=0,
        owners=[],
        labels=[f"{key}={value}" for key, value in (meta.labels or {}).items()],
        fields=list(fields),
        status="",
        cells=b"[]",
        layout=list(made.layout),
        size=len(made.body),
        lossy=lossy,
        body=_compress(made.body),
        seen=SEEN,
    )


def upsert(type_id: int, name: str, **more: Any) -> Upsert:
    return upsert_of(type_id, raw(name, **more))


def delete(type_id: int, name: str, *, namespace: str = "default", uid: str = "") -> Delete:
    return Delete(type_id, namespace, name, uid or f"uid-{name}", SEEN)
