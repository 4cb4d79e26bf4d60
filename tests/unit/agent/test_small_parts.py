"""Lines, back-off, metrics, quantities, logs, CRDs' columns, errors."""

from __future__ import annotations

import json
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import errors, logs
from agent.backoff import Backoff
from agent.crds import AGE, Columns, readable
from agent.digest import Digest
from agent.facts import quantity
from agent.lines import Lines
from agent.metrics import Metrics, exposition
from agent.status import TypeStatus
from schema.resource import PrinterColumn


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"") + b"x"), max_size=8), st.randoms())
def test_lines_come_whole_however_they_are_chunked(lines: list[bytes], chance: random.Random) -> None:
    stream, reader, got = b"\n".join([*lines, b""]), Lines(1000), []
    while stream:
        size = chance.randint(1, 20)
        got += reader.feed(stream[:size])
        stream = stream[size:]
    assert got == lines


def test_a_line_above_the_limit_is_refused_in_bounded_memory() -> None:
    reader = Lines(100)
    assert reader.feed(b"a" * 60 + b"\n" + b"b" * 60) == [b"a" * 60]
    with pytest.raises(errors.Oversized):
        reader.feed(b"b" * 60)


def test_back_off_doubles_up_to_its_end_and_starts_anew() -> None:
    backoff = Backoff(1.0, 4.0)
    pauses = [backoff.next() for _ in range(6)]
    for pause, most in zip(pauses, (1, 2, 4, 4, 4, 4), strict=True):
        assert most / 2 <= pause <= most
    backoff.reset()
    assert backoff.next() <= 1.0


def test_metrics_in_the_text_format() -> None:
    metrics = Metrics()
    metrics.cluster = 'o"ne'
    metrics.count("fleetpedia_resync_total", reason="first")
    metrics.count("fleetpedia_resync_total", 2, reason="first")
    metrics.gauges = lambda: [("fleetpedia_type_lag_seconds", {"type": "pods"}, 1.5)]
    text = exposition([metrics])
    assert "# TYPE fleetpedia_resync_total counter\n" in text
    assert 'fleetpedia_resync_total{cluster="o\\"ne",reason="first"} 3\n' in text
    assert 'fleetpedia_type_lag_seconds{cluster="o\\"ne",type="pods"} 1.5\n' in text


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("500m", 0.5), ("16Gi", 16 * 2**30), ("1e3", 1000), ("2k", 2000), ("12E", 12e18), ("", 0), ("much", 0)],
)
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_log_lines_are_json_with_the_cluster() -> None:
    record = logging.LogRecord("agent.push", logging.WARNING, "", 0, "push %s", ("fails",), None)
    record.__dict__["reason"] = "away"
    token = logs.member.set("one")
    try:
        line = json.loads(logs.JsonLines().format(record))
        text = logs.Text().format(record)
    finally:
        logs.member.reset(token)
    assert (line["msg"], line["level"], line["cluster"], line["reason"]) == ("push fails", "warning", "one", "away")
    assert text == "warning one: push fails reason=away"


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_digests_do_not_depend_on_order(marks: list[tuple[int, int]]) -> None:
    one, other = Digest(), Digest()
    for place, mark in marks:
        one.add(place, mark)
    for place, mark in reversed(marks):
        other.add(place, mark)
    assert (one.counts, one.sums) == (other.counts, other.sums)
    assert one.objects == len(marks)
    assert all(0 <= total < 2**64 for total in one.sums)


def crd(columns: object = None, group: str = "x.io") -> bytes:
    version = {"name": "v1", "selectableFields": [{"jsonPath": ".spec.a"}]}
    if columns is not None:
        version["additionalPrinterColumns"] = columns  # type: ignore[assignment]
    return json.dumps({"spec": {"group": group, "names": {"plural": "things"}, "versions": [version]}}).encode()


def definition(raw: bytes):  # type: ignore[no-untyped-def]
    found = readable(raw)
    assert found is not None
    return found


def test_columns_of_crds() -> None:
    columns = Columns()
    assert columns.put(definition(crd()))
    assert not columns.put(definition(crd())), "nothing new"
    assert columns.of("x.io", "things", "v1") == ((AGE,), (".spec.a",))
    assert columns.put(definition(crd([{"name": "A", "type": "string", "jsonPath": ".spec.a"}])))
    found = columns.of("x.io", "things", "v1")
    assert found is not None
    assert found.columns == (PrinterColumn("A", "string", ".spec.a"),)
    columns.drop(definition(crd()))
    assert columns.of("x.io", "things", "v1") is None
    assert columns.gone == {("x.io", "things")}
    assert columns.put(definition(crd()))
    assert not columns.gone


def test_a_list_of_crds_shows_which_are_gone() -> None:
    columns = Columns()
    columns.replace([definition(crd()), definition(crd(group="y.io"))])
    columns.replace([definition(crd(group="y.io"))])
    assert columns.gone == {("x.io", "things")}


def test_a_crd_that_cannot_be_read_does_not_stop_the_others() -> None:
    assert readable(b'{"spec":{}}') is None


def test_only_a_status_is_quoted() -> None:
    status = b'{"kind":"Status","message":"pods is forbidden","code":403}'
    error = errors.from_answer(403, status, None, "GET /x")
    assert isinstance(error, errors.Forbidden)
    assert error.message == "GET /x: 403 pods is forbidden"
    assert len(errors.from_answer(500, b"<html>" + b"x" * 9000, None, "GET /x").message) < 300
    throttled = errors.from_answer(429, b"", "7", "GET /x")
    assert isinstance(throttled, errors.Throttled)
    assert throttled.retry_after == 7
    assert isinstance(errors.from_event(b'{"kind":"Status","code":410,"message":"too old"}', "watch"), errors.Gone)


def test_a_type_reports_what_is_new() -> None:
    changes: list[int] = []
    status = TypeStatus(3, "pods", lambda: changes.append(1))
    first = status.report(always=True)
    assert first is not None
    assert first.state == "Pending"
    status.set("Listing")
    status.current()
    assert len(changes) == 2
    report = status.report(always=False)
    assert report is not None
    assert (report.state, report.lag) == ("Synced", 0.0)
    assert status.report(always=False) is None
    status.lost()
    lagging = status.report(always=False)
    assert lagging is not None
    assert lagging.state == "Synced"
