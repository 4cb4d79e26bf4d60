"""What a member says about one type of resource, and the life of that type in the index."""

from __future__ import annotations

from typing import Literal

import msgspec

TypeState = Literal["Pending", "Listing", "Synced", "Denied", "Failed", "Excluded", "Gone"]
"""Pending: known, not begun. Listing: first list or comparison runs. Synced: the watch is live. Denied: the member
answers 403. Failed: errors, rows kept. Excluded: the policy leaves it out. Gone: no longer served, being swept."""


class PrinterColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """One `additionalPrinterColumns` entry of a CRD; `path` is its jsonPath."""

    name: str
    type: str
    path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class ResourceType(msgspec.Struct, frozen=True, omit_defaults=True):
    """One group/version/resource as a member serves it. `group` is "" for the core group."""

    group: str
    version: str
    resource: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    columns: tuple[PrinterColumn, ...] | None = None
    """None for built-in types; a CRD's printer columns else (may be empty)."""
    selectable_fields: tuple[str, ...] = ()
    served_versions: tuple[str, ...] = ()
    """All versions of the group that serve it, in the member's order of preference; `version` is the one synced."""

    @property
    def name(self) -> str:
        """`pods`, `deployments.apps`: how people and messages call it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """Path of the list over all namespaces on any Kubernetes face."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{base}/{self.resource}"
