"""Settings of the aggregator: flags, environment, units, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from aggregator.settings import duration, read, size
from schema.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("90", 90),
        ("1h", 3600),
        ("1h30m", 5400),
        ("7d", 604800),
        ("500ms", 0.5),
        ("1.5m", 90),
        ("2w", 1209600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1s", "1x", "s", "1h 30m", "inf", "nan", "1h30"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadRequest, match="30s"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "bytes"), [("20GB", 20 * 10**9), ("512Mi", 512 * 2**20), ("1000", 1000), ("1.5kb", 1500)]
)
def test_sizes(text: str, bytes: int) -> None:
    assert size(text) == bytes


@pytest.mark.parametrize("text", ["", "GB", "1XB", "-1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        size(text)


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"FLEETPEDIA_STALE_AFTER": "10s", "FLEETPEDIA_SCRUB_INTERVAL": "5m"}
    settings = read({"stale_after": "4s"}, environment)
    assert (settings.stale_after, settings.scrub_interval, settings.digest_interval) == (4.0, 300.0, 3600.0)


def test_a_wrong_value_names_where_it_came_from() -> None:
    with pytest.raises(BadRequest, match=r"^--stale-after: 'soon'"):
        read({"stale_after": "soon"}, {})
    with pytest.raises(BadRequest, match=r"^FLEETPEDIA_LISTEN: "):
        read({}, {"FLEETPEDIA_LISTEN": "8443"})


def test_certificate_and_key_go_together_and_reserved_settings_say_so() -> None:
    with pytest.raises(BadRequest, match="together"):
        read({"tls_cert": "a"}, {})
    with pytest.raises(BadRequest, match="reserved"):
        read({"read_database": "postgresql://x"}, {})


@pytest.mark.parametrize(("stale", "heartbeat"), [("30s", 10.0), ("3s", 1.0), ("100s", 10.0), ("0.3s", 0.2)])
def test_the_heartbeat_is_often_enough_for_the_age_that_is_stale(stale: str, heartbeat: float) -> None:
    assert read({"stale_after": stale}, {}).heartbeat == heartbeat
