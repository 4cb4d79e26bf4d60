"""What `fleetpedia serve` can be told: read once from flags and FLEETPEDIA_… and handed down, never looked up later."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from schema.errors import BadRequest

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES: Final = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def duration(text: str) -> float:
    """Seconds of `90`, `30s`, `1h30m`, `7d`. Raises BadRequest."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadRequest(
            f"{text!r} is not a duration; write seconds, or a number with ms, s, m, h, d or w: 30s, 1h30m, 7d"
        )
    return seconds


def size(text: str) -> int:
    """Bytes of `20GB`, `512Mi`, `1000`. Raises BadRequest."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    unit = match[2].lower().removesuffix("ib") + ("i" if match[2].lower().endswith("ib") else "") if match else "?"
    if match is None or unit not in _SIZES:
        raise BadRequest(f"{text!r} is not a size; write bytes, or a number with KB, MB, GB, TB, Ki, Mi or Gi: 20GB")
    return int(float(match[1]) * _SIZES[unit])


def address(text: str) -> str:
    """`HOST:PORT`, the host in brackets for IPv6. Raises BadRequest."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"{text!r} is not an address to listen on; write HOST:PORT, e.g. 0.0.0.0:8443 or 127.0.0.1:0")
    return text


def _setting(flag: str, default: Any, parse: Any, help: str) -> Any:
    return field(default=default, metadata={"flag": flag, "parse": parse, "help": help})


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise BadRequest(f"{text!r} is not a whole number above 0")
    return int(text)


@dataclass(frozen=True)
class Settings:
    """Durations in seconds, sizes in bytes."""

    data: Path = _setting("--data", Path(), Path, "folder for certificates, tokens, pids and logs")
    database: str = _setting(
        "--database", "", str, "postgresql:// URL; direct or session pooling, Postgres 15 or newer"
    )
    read_database: str = _setting("--read-database", "", str, "reserved: a streaming replica for search")
    listen: str = _setting("--listen", "127.0.0.1:8443", address, "HOST:PORT; port 0 is a free one")
    external_url: str = _setting("--external-url", "", str, "how agents and clients reach it, may have a path prefix")
    tls_cert: Path | None = _setting("--tls-cert", None, Path, "PEM certificate chain; default: one of an own CA")
    tls_key: Path | None = _setting("--tls-key", None, Path, "PEM key of --tls-cert")
    stale_after: float = _setting("--stale-after", 30.0, duration, "a member silent for longer is stale")
    digest_interval: float = _setting("--digest-interval", 3600.0, duration, "how often agents list anew and compare")
    scrub_interval: float = _setting(
        "--scrub-interval", 3600.0, duration, "how often rows are compared with their bodies"
    )
    changelog_retention: float = _setting(
        "--changelog-retention", 86400.0, duration, "how far back a watch can resume; older is 410"
    )
    history_retention: float = _setting("--history-retention", 604800.0, duration, "reserved: how long history is kept")
    history_size: int = _setting("--history-size", 20 * 10**9, size, "reserved: how large history may grow")
    events_retention: float = _setting(
        "--events-retention", 604800.0, duration, "reserved: how long events outlive their member's copy"
    )
    max_list_rows: int = _setting(
        "--max-list-rows", 1_000_000, _count, "a list without limit over this many rows is 400"
    )

    @property
    def heartbeat(self) -> float:
        """Often enough that a member that answers is never stale."""
        return min(10.0, max(0.2, self.stale_after / 3))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `Settings`, each with its environment variable in the help."""
    for setting in fields(Settings):
        flag = setting.metadata["flag"]
        parser.add_argument(
            flag, dest=setting.name, default=None, help=f"{setting.metadata['help']} ({_variable(flag)})"
        )


def read(values: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from parsed flags (by field name; None = not given), else the environment, else defaults.

    Raises BadRequest that names the flag."""
    environment = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    for setting in fields(Settings):
        flag = setting.metadata["flag"]
        text = values.get(setting.name)
        source = flag
        if text is None:
            text, source = environment.get(_variable(flag)), _variable(flag)
        if text is None or text == "":
            continue
        try:
            given[setting.name] = setting.metadata["parse"](text)
        except BadRequest as error:
            raise BadRequest(f"{source}: {error.message}") from error
    settings = Settings(**given)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise BadRequest("--tls-cert and --tls-key go together; give both or neither")
    if settings.read_database:
        raise BadRequest("--read-database is reserved: search on a read replica is not built yet; leave it out")
    return settings


def _variable(flag: str) -> str:
    return "FLEETPEDIA_" + flag.removeprefix("--").replace("-", "_").upper()
