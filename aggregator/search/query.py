"""A question as a frozen tree: what every parser makes and what the compiler takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

TypeKey = tuple[str, str, str]
"""(group, version, resource)"""


@dataclass(frozen=True)
class Glob:
    """Text with `*` between its `pieces`; one piece is a literal, so a literal may hold a `*` of its own."""

    pieces: tuple[str, ...]

    @classmethod
    def literal(cls, text: str) -> Glob:
        return cls((text,))

    @classmethod
    def pattern(cls, text: str) -> Glob:
        return cls(tuple(text.split("*")))

    @property
    def is_literal(self) -> bool:
        return len(self.pieces) == 1

    @property
    def text(self) -> str:
        return "*".join(self.pieces)

    def like(self) -> str:
        """The SQL pattern, with `\\` as escape."""
        return "%".join(re.sub(r"([\\%_])", r"\\\1", piece) for piece in self.pieces)

    def matches(self, value: str) -> bool:
        first, *rest = self.pieces
        if not rest:
            return value == first
        *between, last = rest
        if len(value) < len(first) + len(last) or not (value.startswith(first) and value.endswith(last)):
            return False
        # The leftmost place for each piece leaves most for those after it: no going back, however many `*` there are.
        at, end = len(first), len(value) - len(last)
        for piece in between:
            found = value.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


Column = Literal["name", "namespace", "cluster", "kind", "status", "uid"]


@dataclass(frozen=True)
class Match:
    """The column equals one of `globs`. Of clusters and kinds a literal must exist, or the query is refused."""

    column: Column
    globs: tuple[Glob, ...]


@dataclass(frozen=True)
class Word:
    """`text` is somewhere in name, namespace or a label, in any case."""

    text: str


@dataclass(frozen=True)
class Label:
    """The object has the label `key` (with one of `globs` as value, where given)."""

    key: str
    globs: tuple[Glob, ...] = ()


@dataclass(frozen=True)
class ClusterLabel:
    """The object's cluster has the label `key` (with one of `globs` as value, where given)."""

    key: str
    globs: tuple[Glob, ...] = ()


@dataclass(frozen=True)
class Field:
    """The object has something at `path`, equal to one of `globs` where given; scalars as JSON writes them."""

    path: tuple[str, ...]
    globs: tuple[Glob, ...] = ()

    @property
    def dotted(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Not:
    item: Expression


@dataclass(frozen=True)
class All:
    """Empty: everything."""

    items: tuple[Expression, ...] = ()


@dataclass(frozen=True)
class AnyOf:
    """Empty: nothing."""

    items: tuple[Expression, ...] = ()


Expression = Match | Word | Label | ClusterLabel | Field | Not | All | AnyOf


EVERYTHING: Final = All()


class Key(NamedTuple):
    """A row's place in the order of every answer: by type, namespace, name, cluster."""

    type_id: int
    namespace: str
    name: str
    cluster_id: int


@dataclass(frozen=True)
class Query:
    """`type`: exactly this one (Kubernetes faces), None for all. `limit`: rows of a page, 0 = everything."""

    where: Expression = EVERYTHING
    type: TypeKey | None = None
    limit: int = 0
    after: Key | None = None


def every(*items: Expression) -> Expression:
    """All of them, flattened; what is alone stands alone."""
    flat: list[Expression] = []
    for item in items:
        flat.extend(item.items if isinstance(item, All) else (item,))
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def leaves(expression: Expression) -> list[tuple[Match | Word | Label | ClusterLabel | Field, bool]]:
    """All leaves with whether they stand under an odd number of Nots."""
    if isinstance(expression, Not):
        return [(leaf, not negated) for leaf, negated in leaves(expression.item)]
    if isinstance(expression, All | AnyOf):
        return [pair for item in expression.items for pair in leaves(item)]
    return [(expression, False)]
