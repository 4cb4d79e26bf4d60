"""What the middlewares lay beside a request for its handler."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from aggregator.rbac.identity import Actor

ACTOR: Final = web.RequestKey("actor", Actor)
"""Who asks."""
REQUEST_ID: Final = web.RequestKey("request_id", str)
