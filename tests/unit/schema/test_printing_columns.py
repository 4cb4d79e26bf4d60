"""Cells that depend on the time of reading, and their way through JSON."""

from __future__ import annotations

import pytest

from schema.printing import Cell, Since, decode_cells, encode_cells, human_duration, render
from schema.printing.columns import unix_time

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (119, "119s"),
        (120, "2m"),
        (5 * MINUTE + 3, "5m3s"),
        (10 * MINUTE + 3, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 20 * MINUTE, "3h20m"),
        (8 * HOUR + 20 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 4 * HOUR, "2d4h"),
        (8 * DAY + 4 * HOUR, "8d"),
        (729 * DAY, "729d"),
        (2 * YEAR, "2y"),
        (3 * YEAR + 2 * DAY, "3y2d"),
        (8 * YEAR + 2 * DAY, "8y"),
    ],
)
def test_durations_read_as_kubernetes_writes_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_a_time_is_rendered_at_the_moment_of_reading() -> None:
    now = unix_time("2026-01-01T01:00:00Z")
    restarts = Since("2026-01-01T00:55:00Z", "3 (%s ago)")
    assert render(restarts, now) == "3 (5m ago)"
    assert render(restarts, now + 60) == "3 (6m ago)"


def test_a_time_to_come_has_its_own_text() -> None:
    due = Since("2026-01-01T00:00:10Z", "%s ago", "in %s")
    assert render(due, unix_time("2026-01-01T00:00:00Z")) == "in 10s"
    assert render(due, unix_time("2026-01-01T00:00:30Z")) == "20s ago"


def test_a_missing_time_is_unknown() -> None:
    assert render(Since(""), 0.0) == "<unknown>"


@pytest.mark.parametrize("cell", ["text", 3, 0.5, True, None])
def test_other_cells_are_rendered_as_they_are(cell: Cell) -> None:
    assert render(cell, 0.0) is cell


def test_cells_survive_json_with_their_types() -> None:
    cells: list[Cell] = ["a", 1, True, None, 0.5, Since("2026-01-01T00:00:00Z"), Since("", "3 (%s ago)", "in %s")]
    decoded = decode_cells(encode_cells(cells))
    assert decoded == cells
    assert [type(cell) for cell in decoded] == [type(cell) for cell in cells]


def test_times_with_nanoseconds_and_zones_are_read() -> None:
    assert unix_time("2026-01-01T01:00:00.123456789+01:00") == pytest.approx(
        unix_time("2026-01-01T00:00:00Z") + 0.123456
    )
