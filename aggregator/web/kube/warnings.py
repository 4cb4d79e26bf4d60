"""`Warning` headers: which clusters an answer is old or incomplete for. kubectl prints each once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from aggregator.storage.catalog import ClusterEntry
from aggregator.web.kube.face import ABSENT, Face, FaceType
from schema.printing import human_duration

MOST: Final = 5
"""Per-cluster warnings of one answer; thousands would exceed what clients take as headers (traps 14)."""
_LONGEST: Final = 300


def warnings(face: Face, type: FaceType | None, now: datetime) -> list[str]:
    """One per stale or incomplete cluster, at most MOST and then a summary, and what holds for the type as a whole."""
    found = [text for cluster in face.clusters() if (text := _about(face, cluster, type, now))]
    shown = found[:MOST]
    if len(found) > MOST:
        shown.append(f"{len(found) - MOST} more clusters are stale or incomplete; see /api/v1/clusters")
    return shown + (_about_type(face, type) if type is not None else [])


def headers(texts: Iterable[str]) -> list[tuple[str, str]]:
    return [("Warning", f'299 - "{_quoted(text)}"') for text in texts]


def _about(face: Face, cluster: ClusterEntry, type: FaceType | None, now: datetime) -> str:
    if cluster.removing:
        return f"cluster {cluster.name} is being removed"
    age = cluster.age(now)
    if cluster.paused:
        return f"cluster {cluster.name} is paused; last synced {_ago(age.total_seconds()) if age else 'never'}"
    if age is None:
        return f"cluster {cluster.name} has not synced yet"
    if face.catalog.is_stale(cluster, now):
        why = f": {cluster.message}" if cluster.message else ""
        return f"cluster {cluster.name} last synced {_ago(age.total_seconds())}{why}"
    return _state(cluster, type) if type is not None else ""


def _state(cluster: ClusterEntry, type: FaceType) -> str:
    member = type.entry.clusters.get(cluster.id)
    if member is None or member.state in ("Synced", "Gone"):
        return ""
    why = f": {member.reason}" if member.reason else ""
    if member.state in ABSENT:
        return f"cluster {cluster.name} is left out: {member.reason or 'its sync policy excludes the type'}"
    return f"cluster {cluster.name}: {type.definition.name} is {member.state}{why}"


def _about_type(face: Face, type: FaceType) -> list[str]:
    definition = type.definition
    found = [
        f"cluster {name} is left out: its {definition.name} has another kind or scope; ask /fleet/clusters/{name}"
        for name in type.conflicting[:MOST]
    ]
    if face.cluster is not None:
        return found
    for other in face.versions(definition.group, definition.resource):
        theirs = other.definition
        if theirs.version == definition.version:
            continue
        only = [member for cluster_id, member in other.members.items() if cluster_id not in type.members]
        if only:
            # A count would tell of namespaces that the scope hides.
            count = "" if face.scope.namespaces else f"{sum(member.objects for member in only)} "
            found.append(
                f"{count}objects in {len(only)} clusters are left out: they are served in {theirs.api_version} only"
            )
    return found


def _ago(seconds: float) -> str:
    return f"{human_duration(seconds)} ago"


def _quoted(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain[:_LONGEST].replace("\\", "\\\\").replace('"', '\\"')
