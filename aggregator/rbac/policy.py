"""Who may do what: one table from the name of an operation to what it takes.

None: every valid token, each within its scope. Text: an admin of the whole fleet; the text completes "may not …"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aggregator.rbac.identity import Actor

POLICY: Final[Mapping[str, str | None]] = {
    "getOpenApi": None,
    "listClusters": None,
    "getCluster": None,
    "addCluster": "add clusters",
    "changeCluster": "change clusters",
    "renameCluster": "rename clusters",
    "pauseCluster": "pause clusters",
    "resumeCluster": "resume clusters",
    "rotateCluster": "rotate credentials",
    "rebindCluster": "rebind clusters",
    "makeManifest": "make credentials",
    "removeCluster": "remove clusters",
    "search": None,
    "getObject": None,
    "watchSearch": None,
    "getFleetPolicy": "read the sync policy",
    "setFleetPolicy": "set the sync policy",
    "resetFleetPolicy": "set the sync policy",
    "previewFleetPolicy": "preview a sync policy",
    "getClusterPolicy": "read the sync policy",
    "setClusterPolicy": "set the sync policy",
    "resetClusterPolicy": "set the sync policy",
    "previewClusterPolicy": "preview a sync policy",
    "listTokens": "list tokens",
    "createToken": "create tokens",
    "revokeToken": "revoke tokens",
    "verify": "verify the index",
    "getOperation": "see operations",
}


def authorise(actor: Actor, operation: str) -> None:
    """Raises Forbidden. An operation that is not in the table is nobody's (KeyError: a defect)."""
    needed = POLICY[operation]
    if needed is not None:
        actor.require_admin(needed)
