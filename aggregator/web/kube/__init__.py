"""The index as a Kubernetes API, read-only: paths and parameters in, bytes of lists, Tables and watches out."""

from __future__ import annotations

from aggregator.web.kube.routes import routes

__all__ = ["routes"]
