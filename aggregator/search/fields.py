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

_FORMS: Final = (
    ("`nginx checkout`", "free words: each is somewhere in name, namespace or a label, in any case"),
    ("`field:value`", "a field below; `*` is the only wildcard; `a,b` is either; case matters"),
    ("`app=web` · `app!=web`", "the field of that name where there is one, else the object's label"),
    ("`label.app:web*`", "the object's label, always"),
    ("`cluster.env=prod`", "a label of the object's cluster"),
    ("`.spec.nodeName:n1` · `.spec.replicas`", "any path of the object: equal to a value, or there at all"),
    ("`-status:Running` · `NOT app=web`", "the opposite, also where the label or field is missing"),
    ("`a b` · `a OR b` · `( )`", "both; either; grouping. NOT binds first, then both, then OR"),
    ('`"two words"` · `name:"a*b"`', "quotes take spaces and `*` as they are; `\\` before a quote"),
)


def reference() -> str:
    """docs/reference/search.md, which a test compares with this."""
    lines = ["# The search language", "", "Made from `aggregator/search/fields.py`; change it there.", ""]
    lines += ["| form | meaning |", "|---|---|", *(f"| {form} | {meaning} |" for form, meaning in _FORMS), ""]
    lines += ["| field | also | meaning | example |", "|---|---|---|---|"]
    for field in FIELDS:
        others = ", ".join(f"`{name}`" for name in field.names[1:])
        lines.append(f"| `{field.names[0]}` | {others} | {field.meaning} | `{field.example}` |")
    lines += [
        "",
        "Not built yet, and refused with that word: stages after `|`, `<` and `>`, `~` (regular expressions),",
    ]
    lines += [f"`[]` in paths, and the fields {', '.join(f'`{name}`' for name in RESERVED)}.", ""]
    return "\n".join(lines)
