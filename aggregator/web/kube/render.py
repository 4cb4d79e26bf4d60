"""Rows → bytes: JSON objects, metadata only, or Tables. Stored bytes are joined, never parsed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
import zstandard

from aggregator.search.run import Want
from aggregator.storage.catalog import Catalog
from aggregator.storage.objects import Row
from aggregator.web.kube.accept import Form
from aggregator.web.kube.face import FaceType
from schema import body as bodies
from schema.printing import Column, decode_cells, render
from schema.summary import columns_for
from schema.wire import MAX_OBJECT_BYTES

CLUSTER: Final = Column("Cluster", description="The cluster of the fleet that the object is in.")
META_GROUP: Final = "meta.k8s.io/v1"
_inflate: Final = zstandard.ZstdDecompressor().decompress


class Renderer(Protocol):
    """One form of answer. `head`, then `item` of each row joined by commas, then `tail`, make a list."""

    want: Want
    tail: bytes

    def head(self, metadata: dict[str, Any]) -> bytes: ...
    def item(self, row: Row) -> bytes: ...
    def event_object(self, row: Row) -> bytes: ...
    def bookmark(self, metadata: dict[str, Any]) -> bytes: ...


def renderer(form: Form, catalog: Catalog, type: FaceType, include_object: str) -> Renderer:
    if form == "table":
        return TableRenderer(catalog, type, include_object)
    return MetadataRenderer(catalog) if form == "metadata" else JsonRenderer(catalog, type)


def inflated(row: Row) -> bytes:
    """The body of a row that was read with it."""
    return _inflate(row.body or b"", max_output_size=2 * MAX_OBJECT_BYTES)


def ours(cluster: str, row: Row) -> dict[str, str]:
    """Ours, on every object that we serve."""
    return {
        "fleetpedia.io/cluster": cluster,
        "fleetpedia.io/resource-version": row.resource_version,
        "shadow.clusterpedia.io/cluster-name": cluster,
    }


class _Joins:
    def __init__(self, catalog: Catalog) -> None:
        self._clusters = catalog.cluster_by_id

    def cluster(self, row: Row) -> str:
        entry = self._clusters.get(row.cluster_id)
        return entry.name if entry else f"#{row.cluster_id}"  # removed since the row was read

    def whole(self, row: Row, kind: str, api_version: str) -> bytes:
        if row.body is None:
            return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": self._remains(row)})
        return bodies.join(inflated(row), layout_of(row), str(row.cursor), ours(self.cluster(row), row))

    def partial(self, row: Row) -> bytes:
        if row.body is None:
            metadata = orjson.dumps(self._remains(row))
        else:
            metadata = bodies.join_metadata(
                inflated(row), layout_of(row), str(row.cursor), ours(self.cluster(row), row)
            )
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":' + metadata + b"}"

    def _remains(self, row: Row) -> dict[str, Any]:
        """What is known of an object that is gone without its bytes."""
        labels = dict(pair.split("=", 1) for pair in row.labels if "=" in pair)
        return {
            "name": row.name,
            **({"namespace": row.namespace} if row.namespace else {}),
            "uid": row.uid,
            "resourceVersion": str(row.cursor),
            **({"labels": labels} if labels else {}),
            "annotations": ours(self.cluster(row), row),
        }


def layout_of(row: Row) -> bodies.Layout:
    a, b, c, d, e = row.layout or (0, 0, 0, 0, 0)
    return a, b, c, d, e


class JsonRenderer(_Joins):
    want = Want(body=True)
    tail = b"]}"

    def __init__(self, catalog: Catalog, type: FaceType) -> None:
        super().__init__(catalog)
        self._kind, self._api_version = type.definition.kind, type.definition.api_version

    def head(self, metadata: dict[str, Any]) -> bytes:
        return _list_head(f"{self._kind}List", self._api_version, metadata)

    def item(self, row: Row) -> bytes:
        return self.whole(row, self._kind, self._api_version)

    event_object = item

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        return orjson.dumps({"kind": self._kind, "apiVersion": self._api_version, "metadata": metadata})


class MetadataRenderer(_Joins):
    want = Want(body=True)
    tail = b"]}"

    def head(self, metadata: dict[str, Any]) -> bytes:
        return _list_head("PartialObjectMetadataList", META_GROUP, metadata)

    def item(self, row: Row) -> bytes:
        return self.partial(row)

    event_object = item

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        return orjson.dumps({"kind": "PartialObjectMetadata", "apiVersion": META_GROUP, "metadata": metadata})


class TableRenderer(_Joins):
    """CLUSTER first. The columns are those of all clusters by name; a cell that a cluster's type lacks is null."""

    tail = b"]}"

    def __init__(self, catalog: Catalog, type: FaceType, include_object: str) -> None:
        super().__init__(catalog)
        self.want = Want(cells=True, body=include_object != "None")
        self._include_object = include_object
        definition = type.definition
        self._columns = columns_for(definition.group, definition.resource, definition.columns)
        self._places = _places(type, self._columns)
        self._definitions = _definitions((CLUSTER, *self._columns))
        self._kind, self._api_version = definition.kind, definition.api_version
        self._first = True
        self._now = time.time()

    def head(self, metadata: dict[str, Any]) -> bytes:
        return self._table(metadata, self._definitions)

    def _table(self, metadata: dict[str, Any], definitions: bytes) -> bytes:
        return (
            b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":'
            + orjson.dumps(metadata)
            + b',"columnDefinitions":'
            + definitions
            + b',"rows":['
        )

    def item(self, row: Row) -> bytes:
        if row.cells is None:
            cells: list[Any] = [row.name, *[None] * (len(self._columns) - 1)]
        else:
            cells = [render(cell, self._now) for cell in decode_cells(row.cells)]
        places = self._places.get(row.cluster_id)
        if places is not None and row.cells is not None:
            cells = [cells[at] if at is not None and at < len(cells) else None for at in places]
        data = orjson.dumps({"cells": [self.cluster(row), *cells]})
        if self._include_object == "None":
            return data[:-1] + b',"object":null}'
        whole = self._include_object == "Object"
        return (
            data[:-1]
            + b',"object":'
            + (self.whole(row, self._kind, self._api_version) if whole else self.partial(row))
            + b"}"
        )

    def event_object(self, row: Row) -> bytes:
        """A Table of one row; the columns come with the first event only, as from Kubernetes."""
        self._now = time.time()
        definitions, self._first = (self._definitions if self._first else b"null"), False
        return self._table({"resourceVersion": str(row.cursor)}, definitions) + self.item(row) + self.tail

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        """Clients find a bookmark's version in the object of its only row."""
        definitions, self._first = (self._definitions if self._first else b"null"), False
        partial = {"kind": "PartialObjectMetadata", "apiVersion": META_GROUP, "metadata": metadata}
        row = {"cells": [None] * (len(self._columns) + 1), "object": partial}
        return (
            self._table({"resourceVersion": metadata["resourceVersion"]}, definitions) + orjson.dumps(row) + self.tail
        )


def _list_head(kind: str, api_version: str, metadata: dict[str, Any]) -> bytes:
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})[:-1] + b',"items":['


def _definitions(columns: Sequence[Column]) -> bytes:
    return orjson.dumps(
        [
            {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
            for c in columns
        ]
    )


def _places(type: FaceType, columns: Sequence[Column]) -> Mapping[int, list[int | None]]:
    """For clusters whose own columns are others than the merged ones: where each merged column is among theirs."""
    places: dict[int, list[int | None]] = {}
    merged = type.definition.columns
    for cluster_id, member in type.members.items():
        own = member.definition.columns
        if own is merged or own == merged:
            continue
        names = [c.name for c in columns_for(member.definition.group, member.definition.resource, own)]
        if names != [column.name for column in columns]:
            places[cluster_id] = [names.index(c.name) if c.name in names else None for c in columns]
    return places
