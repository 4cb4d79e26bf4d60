"""Rows and records as `-o` says. One place, so that every reading verb prints alike."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """`wide`: only in -o wide (and csv)."""

    title: str
    cell: Callable[[Record], Any]
    wide: bool = False


def show(records: Sequence[Record], columns: Sequence[Column], output: str, name: Callable[[Record], str]) -> None:
    """Print `records`; `name` is what `-o name` prints of each."""
    if output in ("json", "yaml"):
        document(list(records), output)
    elif output == "name":
        lines(name(record) for record in records)
    else:
        shown = [column for column in columns if output != "table" or not column.wide]
        rows = [[column.cell(record) for column in shown] for record in records]
        table([column.title for column in shown], rows, output)


def document(content: Any, output: str) -> None:
    """One JSON or YAML document."""
    if output == "yaml":
        import yaml

        sys.stdout.write(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    else:
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]], output: str = "table") -> None:
    """Columns three spaces apart, as kubectl's; nothing for no rows."""
    texts = [[text(cell) for cell in row] for row in rows]
    if output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([[title.lower() for title in titles], *texts])
        return
    if not texts:
        return
    widths = [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
    lines("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [titles, *texts])


def lines(texts: Iterable[str]) -> None:
    for line in texts:
        sys.stdout.write(line.rstrip() + "\n")


def text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, list):
        return ",".join(map(text, cell))
    if isinstance(cell, dict):
        return ",".join(f"{key}={value}" for key, value in sorted(cell.items()))
    return " ".join(str(cell).splitlines())


def age(seconds: float | None) -> str:
    """`45s`, `3m12s`, `5h`, `12d`; empty for never."""
    if seconds is None:
        return ""
    whole = int(max(0, seconds))
    if whole < 120:
        return f"{whole}s"
    if whole < 600:
        return f"{whole // 60}m{whole % 60}s" if whole % 60 else f"{whole // 60}m"
    if whole < 3 * 3600:
        return f"{whole // 60}m"
    return f"{whole // 3600}h" if whole < 48 * 3600 else f"{whole // 86400}d"
