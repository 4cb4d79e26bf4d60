"""How an `up` of this machine stands, as far as its data folder tells."""

from __future__ import annotations

from typing import Any

from aggregator.storage.embedded import socket_url
from aggregator.supervise.folder import DataFolder, read_pid
from aggregator.supervise.leftovers import is_of


def database_url(folder: DataFolder) -> str:
    """The URL that the caller's psql opens as it is; empty where no `up` ever ran."""
    state = folder.state()
    if state.database:
        return state.database
    return socket_url(folder.path) if (folder.path / "postgres" / "PG_VERSION").exists() else ""


def processes(folder: DataFolder) -> list[dict[str, Any]]:
    """Every process of the last `up`: `name`, `pid` (null when it does not run), `running`."""
    state = folder.state()
    names = ["up", *([] if state.database else ["postgres"]), "aggregator", *(["simulator"] if state.demo else [])]
    names += sorted(file.stem for file in folder.run.glob("agent-*.pid"))
    held = folder.is_held()
    found = []
    for name in dict.fromkeys(names):
        pid = read_pid(folder.pid_file(name))
        runs = held if name == "up" else bool(pid) and is_of(pid, folder.path)
        found.append({"name": name, "pid": pid if runs else None, "running": runs})
    return found
