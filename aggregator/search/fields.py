"""The fields of the text grammar: one table for the parser, for suggestions and for the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aggregator.search.query import Column


@dataclass(frozen=True)
class TextField:
    """`names`: the first is the usual one. `column`: what it compares."""

    names: tuple[str, ...]
    column: Column
    meaning: str
    example: str


FIELDS: Final = (
    TextField(("name",), "name", "the object's name", "name:web-*"),
    TextField(("namespace", "ns"), "namespace", "its namespace", "ns:pay*,shop"),
    TextField(("cluster",), "cluster", "the cluster that it is in", "cluster:prod-*"),
    TextField(("kind", "type"), "kind", "its kind, by any name that kubectl takes", "kind:deploy"),
    TextField(("status",), "status", "its status in one word, as kubectl shows it", "status:CrashLoopBackOff"),
    TextField(("uid",), "uid", "its uid", "uid:2f1c0d1e-*"),
)
BY_NAME: Final = {name: field for field in FIELDS for name in field.names}

PREFIXES: Final = {
    "label": "the object's label of that name, as in label.app:web",
    "cluster": "the label of that name of the object's cluster, as in cluster.env:prod",
}

RESERVED: Final = {
    "age": "comparing ages",
    "restarts": "comparing restarts",
    "image": "images",
    "node": "nodes (meanwhile: .spec.nodeName=NAME)",
    "owner": "owners",
    "related": "relations",
    "has": "relations and presence",
    "missing": "relations and absence",
    "at": "history",
    "deleted": "history",
    "sort": "ordering",
}
"""Fields of the grammar that are still to come."""
