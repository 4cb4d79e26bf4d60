"""What a person sets, from flags or `FLEETPEDIA_AGENT_…`; read once and handed down."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agent.buffer import MAX_BYTES, MAX_OBJECTS


class SettingsError(Exception):
    """A setting is wrong; the message says which and what would be right."""


@dataclass(frozen=True)
class MemberSettings:
    """`kubeconfig` empty: the cluster that this process runs in. `lease`: auto, on, off (auto: only in a cluster).

    `name` is for logs only: which cluster it is says the credential."""

    name: str
    server: str
    token_file: Path
    ca_file: Path | None = None
    kubeconfig: Path | None = None
    context: str = ""
    lease: str = "auto"


@dataclass(frozen=True)
class Settings:
    """`metrics`: HOST:PORT, port 0 = a free one; empty = none."""

    members: tuple[MemberSettings, ...]
    metrics: str = ""
    log_format: str = "json"
    log_level: str = "info"
    buffer_objects: int = MAX_OBJECTS
    buffer_bytes: int = MAX_BYTES


_FLAGS = (
    ("server", "URL", "the aggregator, https://HOST:PORT"),
    ("token-file", "FILE", "file with this cluster's credential; read again when it changes"),
    ("ca-file", "FILE", "CA certificate of the aggregator; read again when it changes"),
    ("kubeconfig", "FILE", "kubeconfig of the member (without: the cluster that the agent runs in)"),
    ("context", "NAME", "context in the kubeconfig (without: its current one)"),
    ("members", "FILE", "YAML list of {name, token_file, kubeconfig, context}: many members in one process"),
    ("metrics", "HOST:PORT", "serve /metrics, /livez and /readyz there"),
    ("lease", "auto|on|off", "keep a counter in a Lease of the member (auto: only inside a cluster)"),
    ("log-format", "json|text", "how lines on stderr look"),
    ("log-level", "LEVEL", "debug, info, warning or error"),
)
_DEFAULTS = {"lease": "auto", "log-format": "json", "log-level": "info"}
_CHOICES = {
    "lease": ("auto", "on", "off"),
    "log-format": ("json", "text"),
    "log-level": ("debug", "info", "warning", "error"),
}
_MEMBER_KEYS = ("name", "server", "token_file", "ca_file", "kubeconfig", "context", "lease")


def read(arguments: list[str] | None = None) -> Settings:
    """Exits with 2 and a usage message for unknown flags; raises SettingsError for wrong values."""
    given = vars(_parser().parse_args(arguments))
    values = {name: given[name.replace("-", "_")] or "" for name, _, _ in _FLAGS}
    for name, choices in _CHOICES.items():
        if values[name] not in choices:
            raise SettingsError(f"--{name} is {values[name]!r}; it must be one of {', '.join(choices)}")
    common = {name.replace("-", "_"): values[name] for name in ("server", "ca-file", "lease")}
    if values["members"]:
        members = tuple(_members(Path(values["members"]), common))
    else:
        own = {"name": "", "token_file": values["token-file"], "kubeconfig": values["kubeconfig"]}
        members = (_member({**common, **own, "context": values["context"]}, "the agent"),)
    return Settings(
        members=members,
        metrics=values["metrics"],
        log_format=values["log-format"],
        log_level=values["log-level"],
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleetpedia-agent",
        description="Watches one cluster's API server and pushes what changes to a Fleetpedia aggregator.",
        epilog="Each flag can be given as FLEETPEDIA_AGENT_NAME in the environment; the flag wins.",
    )
    for name, form, text in _FLAGS:
        default = os.environ.get(f"FLEETPEDIA_AGENT_{name.replace('-', '_').upper()}") or _DEFAULTS.get(name)
        parser.add_argument(f"--{name}", metavar=form, help=text, default=default)
    return parser


def _members(path: Path, common: dict[str, str]) -> list[MemberSettings]:
    try:
        listed = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"--members {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"--members {path} is neither YAML nor JSON: {error}") from error
    if not isinstance(listed, list) or not listed:
        raise SettingsError(f"--members {path} must hold a list of {{name, token_file, kubeconfig, context}}")
    members = []
    for position, entry in enumerate(listed):
        where = f"--members {path}, entry {position + 1}"
        if not isinstance(entry, dict) or not set(entry) <= set(_MEMBER_KEYS):
            raise SettingsError(f"{where} must be an object with some of {', '.join(_MEMBER_KEYS)}")
        members.append(_member({**common, **entry}, where))
    return members


def _member(values: dict[str, Any], where: str) -> MemberSettings:
    for key, flag in (("server", "--server URL"), ("token_file", "--token-file FILE")):
        if not values.get(key):
            raise SettingsError(f"{where} needs {key} ({flag} or FLEETPEDIA_AGENT_{key.upper()})")
    server = str(values["server"])
    if not server.startswith(("http://", "https://")):
        raise SettingsError(f"{where}: the server {server!r} must begin with https://")
    return MemberSettings(
        name=str(values.get("name") or ""),
        server=server,
        token_file=Path(str(values["token_file"])),
        ca_file=Path(str(values["ca_file"])) if values.get("ca_file") else None,
        kubeconfig=Path(str(values["kubeconfig"])).expanduser() if values.get("kubeconfig") else None,
        context=str(values.get("context") or ""),
        lease=str(values.get("lease") or "auto"),
    )
