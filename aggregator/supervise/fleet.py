"""The members of an `up` at the aggregator: registered over its REST API, looked at until they are in sync."""

from __future__ import annotations

from typing import Any

from aggregator.client import ApiError, Client, segment
from aggregator.files import write_private
from aggregator.supervise.folder import DataFolder, Member
from aggregator.supervise.kubeconfig import write_kubeconfig
from schema.errors import FleetpediaError, Unprocessable

View = dict[str, Any]
"""One entry of `/api/v1/clusters`."""
SYNCED = "Synced"
SETTLED = ("Excluded", "Gone")
"""States of types that nothing is expected of."""


def views(client: Client) -> list[View]:
    """All clusters that the aggregator knows. Raises ApiError, UnreachableError."""
    found: list[View] = client.get("/api/v1/clusters")["items"]
    return found


def register(client: Client, folder: DataFolder, members: tuple[Member, ...]) -> None:
    """Make every member known and put its credential into the data folder; idempotent."""
    known = {view["name"] for view in views(client)}
    for member in members:
        file = folder.agent_token(member.name)
        if member.name in known and file.exists():
            continue
        try:
            if member.name in known:
                answer = client.post(f"/api/v1/clusters/{segment(member.name)}/rotate", {})
            else:
                answer = client.post("/api/v1/clusters", {"name": member.name})
        except ApiError as error:
            raise Unprocessable(f"cluster {member.name} cannot be registered: {error.message}") from error
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, f"{answer['token']}\n")


def rewrite_kubeconfig(folder: DataFolder, url: str, names: list[str]) -> None:
    write_kubeconfig(
        folder.kubeconfig, url, folder.ca.read_bytes() if folder.ca.exists() else b"", folder.admin_token(), names
    )


def why_not_in_sync(view: View | None, seconds: float) -> str:
    """Empty when the cluster is in sync by what was heard from it in the last `seconds`."""
    if view is None:
        return "not registered"
    if view.get("phase") == "Paused":
        return ""
    age = view.get("ageSeconds")
    if age is None or age > seconds:
        return view.get("message") or "its API server has not answered the agent yet"
    if view.get("phase") in ("Pending", "Removing", "Stale"):
        return view.get("message") or f"phase {view['phase']}"
    types = view.get("types") or []
    if not types:
        return "its types are not known yet"
    late = [
        f"{type['type']}: {type['state']} {type.get('reason') or ''}".strip()
        for type in types
        if not _synced(type, seconds)
    ]
    more = f" and {len(late) - 3} more types" if len(late) > 3 else ""
    return "; ".join(late[:3]) + more


def _synced(type: View, seconds: float) -> bool:
    """What was in sync before this start says nothing about now."""
    lag = type.get("lagSeconds")
    return type["state"] in SETTLED or (type["state"] == SYNCED and lag is not None and lag <= seconds)


def message(error: Exception) -> str:
    return error.message if isinstance(error, ApiError | FleetpediaError) else str(error)
