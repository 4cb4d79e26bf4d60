"""The REST face under /api/v1: parse, call one service, render. One table of routes, from which the OpenAPI document comes."""

from __future__ import annotations

from aggregator.web.rest.routes import routes

__all__ = ["routes"]
