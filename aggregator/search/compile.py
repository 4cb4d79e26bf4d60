"""Query + scope → SQL with numbered binds. No text of a request becomes SQL; each statement carries the scope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aggregator.rbac.scope import Scope
from aggregator.search.query import (
    All,
    AnyOf,
    ClusterLabel,
    Expression,
    Field,
    Glob,
    Key,
    Label,
    Match,
    Not,
    Query,
    Word,
)
from aggregator.search.resolve import Names
from aggregator.storage.catalog import Catalog, TypeEntry
from schema.fields import FIELDS

_COLUMNS: Final = {"name": "o.name", "namespace": "o.namespace", "status": "o.status", "uid": "o.uid"}
_KEY: Final = {"type_id": 0, "namespace": 1, "name": 2, "cluster_id": 3}
NOTHING: Final = "false"
FEW: Final = 2000
"""Up to so many matches are all found and sorted; of more, the order is gone through until a page is full."""
# The planner takes matches for evenly spread over the order. Where they are not, going through the order reads almost
# all rows for a page (45 ms against 1 ms at 40,000 rows); so it is only done where there are many. Only one of the two
# halves runs: the other's condition is known before it begins.
_FEW_FIRST: Final = """
with found as materialized (
  select o.cluster_id, o.type_id, o.namespace, o.name from fleet.object o where {where} limit {few} + 1
), few as materialized (select count(*) <= {few} as yes from found),
page as materialized (select * from found o where (select yes from few) order by {order} limit {limit})
select * from (
  select {columns} from page p
    join fleet.object o on o.cluster_id = p.cluster_id and o.type_id = p.type_id
         and o.namespace = p.namespace and o.name = p.name
  union all
  (select {columns} from fleet.object o where not (select yes from few) and {where} order by {order} limit {limit})
) o order by {order}"""
Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Selection:
    """A compiled condition. `order`: what is not fixed of (type_id, namespace, name, cluster_id).

    `type_ids`, `cluster_ids`: what the condition is limited to at least, None = all."""

    where: str
    args: tuple[Any, ...]
    order: tuple[str, ...]
    type_ids: frozenset[int] | None
    cluster_ids: frozenset[int] | None
    narrow: bool
    """Whether it selects by more than type and cluster, so that the counters do not tell its number."""

    selective: bool
    """Whether an index on labels, fields or names finds what is looked for, without going through the order."""

    def rows(self, columns: str, limit: int = 0, after: Key | None = None) -> Statement:
        args = list(self.args)
        where = self.where
        if after is not None:
            binds = []
            for column in self.order:
                args.append(after[_KEY[column]])
                binds.append(f"${len(args)}")
            where += f" and ({', '.join(f'o.{column}' for column in self.order)}) > ({', '.join(binds)})"
        order = ", ".join(f"o.{column}" for column in self.order)
        sql = f"select {columns} from fleet.object o where {where} order by {order}"
        if limit:
            args.append(limit)
            sql += f" limit ${len(args)}"
            if self.selective:
                sql = _FEW_FIRST.format(columns=columns, where=where, order=order, few=FEW, limit=f"${len(args)}")
        return sql, tuple(args)

    def count(self, cap: int) -> Statement:
        """Rows, counted to `cap` at most."""
        return (
            f"select count(*) from (select 1 from fleet.object o where {self.where} limit ${len(self.args) + 1}) c",
            (*self.args, cap),
        )

    def any_with_path(self, path: tuple[str, ...], limit: int) -> Statement:
        """Whether one of the first `limit` rows has something at `path`."""
        bind, last = len(self.args) + 1, len(self.args) + 2
        return (
            f"select exists (select from (select o.object from fleet.object o where {self.where} limit ${last}) o"
            f" where o.object #> ${bind}::text[] is not null)",
            (*self.args, list(path), limit),
        )


def compile_query(query: Query, scope: Scope, catalog: Catalog) -> Selection:
    """Raises BadRequest for clusters and kinds that are not there (or that the scope hides)."""
    return _Compiler(query, scope, catalog).selection()


class _Compiler:
    def __init__(self, query: Query, scope: Scope, catalog: Catalog) -> None:
        self.query, self.scope = query, scope
        self.names = Names(catalog, scope)
        self.args: list[Any] = []
        self.type_ids = self.names.limited_types
        self.cluster_ids = self.names.limited_clusters
        if query.type is not None:
            entry = catalog.types.get(query.type)
            self._limit_types(frozenset({entry.id} if entry else ()))

    def selection(self) -> Selection:
        rest = self._take_limits(self.query.where)
        clauses = [self._ids("cluster_id", self.cluster_ids), self._ids("type_id", self.type_ids)]
        clauses += [self._namespaces(), *(self.compile(item) for item in rest)]
        order = [c for c, ids in (("type_id", self.type_ids), ("cluster_id", self.cluster_ids)) if not _one(ids)]
        return Selection(
            where=" and ".join(clause for clause in clauses if clause) or "true",
            args=tuple(self.args),
            order=tuple(c for c in _KEY if c in order or c in ("namespace", "name")),
            type_ids=self.type_ids,
            cluster_ids=self.cluster_ids,
            narrow=bool(rest) or bool(self.scope.namespaces),
            selective=any(self._is_indexed(item) for item in rest),
        )

    def _is_indexed(self, item: Expression) -> bool:
        match item:
            case Label() | Match("name"):
                return True
            case Field():
                return bool(item.globs) and all(item.dotted in supported_fields(entry) for entry in self._types())
        return False

    def _types(self) -> list[TypeEntry]:
        return [entry for entry in self.names.all_types() if self.type_ids is None or entry.id in self.type_ids]

    def _take_limits(self, where: Expression) -> list[Expression]:
        """What must hold of cluster and kind limits the ids, so that indexes see one equality; the rest is returned."""
        rest: list[Expression] = []
        for item in where.items if isinstance(where, All) else (where,):
            match item:
                case Match("cluster", globs):
                    self._limit_clusters(self.names.clusters(globs))
                case Match("kind", globs):
                    self._limit_types(self.names.types(globs))
                case ClusterLabel():
                    self._limit_clusters(self.names.labelled(item))
                case _:
                    rest.append(item)
        return rest

    def _limit_clusters(self, ids: frozenset[int]) -> None:
        self.cluster_ids = ids if self.cluster_ids is None else self.cluster_ids & ids

    def _limit_types(self, ids: frozenset[int]) -> None:
        self.type_ids = ids if self.type_ids is None else self.type_ids & ids

    # -- the scope -----------------------------------------------------------------------------------------------
    def _namespaces(self) -> str:
        """Objects in the scope's namespaces, and the Namespace objects of these names."""
        if not self.scope.namespaces:
            return ""
        globs = tuple(map(Glob.pattern, self.scope.namespaces))
        inside = f"(o.namespace <> '' and {self._glob('o.namespace', globs)})"
        namespace_ids = frozenset(
            entry.id
            for entry in self.names.all_types()
            if (entry.definition.group, entry.definition.resource) == ("", "namespaces")
        )
        if self.type_ids is not None:
            namespace_ids &= self.type_ids
        if not namespace_ids:
            return inside
        return f"({inside} or {self._ids('type_id', namespace_ids)} and {self._glob('o.name', globs)})"

    # -- the question --------------------------------------------------------------------------------------------
    def compile(self, item: Expression) -> str:
        """A condition that is true or false, never null, so that Not is right where something is missing."""
        match item:
            case All(items):
                return f"({' and '.join(map(self.compile, items))})" if items else "true"
            case AnyOf(items):
                return f"({' or '.join(map(self.compile, items))})" if items else NOTHING
            case Not(inner):
                return f"not {self.compile(inner)}"
            case Match("cluster", globs):
                return self._ids("cluster_id", self.names.clusters(globs))
            case ClusterLabel():
                return self._ids("cluster_id", self.names.labelled(item))
            case Match("kind", globs):
                return self._ids("type_id", self.names.types(globs))
            case Match(column, globs):
                return self._glob(_COLUMNS[column], globs)
            case Label(key, globs):
                return self._label(key, globs)
            case Field():
                return self._field(item)
            case Word(text):
                return self._word(text)

    def _word(self, text: str) -> str:
        bind = self._bind("%" + Glob.literal(text).like() + "%")
        return f"(o.name ilike {bind} or o.namespace ilike {bind} or array_to_string(o.labels, E'\\n') ilike {bind})"

    def _label(self, key: str, globs: tuple[Glob, ...]) -> str:
        if not globs:
            return f"o.labels @> array[{self._bind(key)}::text]"
        return self._pair("o.labels", key, globs)

    def _pair(self, column: str, key: str, globs: tuple[Glob, ...]) -> str:
        """`column` (an array of key=value) has one of the values under `key`. Each bind that is made must be used:
        Postgres cannot tell the type of one that is not."""
        literals = [f"{key}={glob.text}" for glob in globs if glob.is_literal]
        patterns = [Glob.literal(f"{key}=").like() + glob.like() for glob in globs if not glob.is_literal]
        found = []
        if len(literals) == 1:
            found.append(f"{column} @> array[{self._bind(literals[0])}::text]")
        elif literals:
            found.append(f"{column} && {self._bind(literals)}::text[]")
        if patterns:
            # Labels have their bare keys beside them, so that the index narrows a pattern down.
            guard = f"{column} @> array[{self._bind(key)}::text] and " if column == "o.labels" else ""
            found.append(f"({guard}exists (select from unnest({column}) e where e like any({self._bind(patterns)})))")
        return f"({' or '.join(found)})"

    def _field(self, field: Field) -> str:
        """By the indexed array for the types that have the path there, else out of the object."""
        if field.path == ("metadata", "uid") and field.globs:
            return self._glob("o.uid", field.globs)
        types = self._types()
        supporting = frozenset(entry.id for entry in types if field.dotted in supported_fields(entry))
        if not supporting or not field.globs:
            return self._path(field)
        indexed = self._pair("o.fields", field.dotted, field.globs)
        if len(supporting) == len(types):
            return indexed
        ids = self._ids("type_id", supporting)
        return f"({ids} and {indexed} or not {ids} and {self._path(field)})"

    def _path(self, field: Field) -> str:
        path = f"{self._bind(list(field.path))}::text[]"
        if not field.globs:
            return f"(o.object #> {path} is not null)"
        return f"coalesce({self._glob(f'(o.object #>> {path})', field.globs)}, false)"

    # -- binds ---------------------------------------------------------------------------------------------------
    def _glob(self, column: str, globs: Iterable[Glob]) -> str:
        globs = list(globs)
        literals = [glob.text for glob in globs if glob.is_literal]
        patterns = [glob.like() for glob in globs if not glob.is_literal]
        found = []
        if len(literals) == 1:
            found.append(f"{column} = {self._bind(literals[0])}")
        elif literals:
            found.append(f"{column} = any({self._bind(literals)}::text[])")
        if len(patterns) == 1:
            found.append(f"{column} like {self._bind(patterns[0])}")
        elif patterns:
            found.append(f"{column} like any({self._bind(patterns)}::text[])")
        return f"({' or '.join(found)})" if found else NOTHING

    def _ids(self, column: str, ids: frozenset[int] | None) -> str:
        if ids is None:
            return ""
        if not ids:
            return NOTHING
        if len(ids) == 1:
            return f"o.{column} = {self._bind(next(iter(ids)))}"
        return f"o.{column} = any({self._bind(sorted(ids))}::integer[])"

    def _bind(self, value: Any) -> str:
        self.args.append(value)
        return f"${len(self.args)}"


def supported_fields(entry: TypeEntry) -> frozenset[str]:
    """The paths (dotted) that objects of the type have in the column `fields`."""
    built_in = FIELDS.get((entry.definition.group, entry.definition.resource), ())
    own = set(entry.definition.selectable_fields)
    if own:
        own.intersection_update(*(cluster.definition.selectable_fields for cluster in entry.clusters.values()))
    return frozenset((*built_in, *(path.removeprefix(".") for path in own)))


def _one(ids: frozenset[int] | None) -> bool:
    return ids is not None and len(ids) == 1
