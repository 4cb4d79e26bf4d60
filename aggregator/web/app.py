"""The HTTP application: one table of routes, one row of middlewares, in the order in which a request meets them."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from aggregator.web import agent, health, kube, middleware, rest
from aggregator.web.middleware import LongRequests
from aggregator.web.services import Services
from schema.wire import MAX_BATCH_BYTES

HEADER_BYTES: Final = 32 * 1024
"""Selectors travel in the URL."""


def build_app(services: Services) -> web.Application:
    long = LongRequests()
    app = web.Application(
        middlewares=[
            middleware.identify,
            middleware.render_errors,
            middleware.refuse_nul,
            middleware.authenticate(services.identity),
            middleware.limit_requests(),
            long.middleware(),
        ],
        client_max_size=MAX_BATCH_BYTES,
        handler_args={"max_line_size": HEADER_BYTES, "max_field_size": HEADER_BYTES},
    )
    app.on_shutdown.append(long.end)
    app.router.add_routes(
        [*agent.routes(services), *health.routes(services), *rest.routes(services), *kube.routes(services)]
    )
    return app
