"""Errors as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

from schema.errors import FleetpediaError


def status_of(error: FleetpediaError) -> dict[str, Any]:
    """The `Status` object of an error."""
    details = dict(error.details)
    if error.retry_after:
        details["retryAfterSeconds"] = max(1, round(error.retry_after))
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "details": details,
        "code": error.status,
    }
