"""Columns and cells of a Table, and how a stored cell becomes text at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec


class Column(msgspec.Struct, frozen=True):
    """One of a Table's `columnDefinitions`. A priority above 0 shows with `-o wide` only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


class Since(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cell that depends on the time at which it is read.

    `since` is RFC 3339, empty where the object has none; the first "%s" of `text` becomes the time gone by. `ahead`,
    where given, is the text for a time that is still to come."""

    since: str
    text: str = "%s"
    ahead: str = ""


Scalar = str | int | float | bool | None
Cell = str | int | float | bool | None | Since

UNKNOWN: Final = "<unknown>"
INVALID: Final = "<invalid>"

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[list[Cell]] = msgspec.json.Decoder(list[Cell])


def encode_cells(cells: Sequence[Cell]) -> bytes:
    """A JSON array, a `Since` as an object with its fields."""
    return _encoder.encode(cells)


def decode_cells(data: bytes | str) -> list[Cell]:
    return _decoder.decode(data)


def render(cell: Cell, now: float) -> Scalar:
    """The value as the API server would print it at `now` (Unix seconds)."""
    if type(cell) is not Since:
        return cell  # type: ignore[return-value]
    if not cell.since:
        return cell.text.replace("%s", UNKNOWN, 1)
    gone = now - unix_time(cell.since)
    if cell.ahead and gone < 0:
        return cell.ahead.replace("%s", human_duration(-gone), 1)
    return cell.text.replace("%s", human_duration(gone), 1)


def unix_time(timestamp: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises ValueError for anything else."""
    moment = datetime.fromisoformat(timestamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def human_duration(seconds: float) -> str:
    """Two or three significant figures, as Kubernetes prints ages: `90s`, `5m3s`, `3h20m`, `2d4h`, `400d`, `3y2d`."""
    whole = int(seconds)  # towards zero, as Go does: clocks that differ by less than 2 s still print "0s"
    if whole < -1:
        return INVALID
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
