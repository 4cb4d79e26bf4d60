"""What is answered while the database is waited for: that we live, and why we are not ready."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from aggregator.web.errors import render
from schema.errors import Unavailable


def starting_app(why: Callable[[], str]) -> web.Application:
    """`why`: what is waited for just now."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/livez":
            return web.Response(text="ok")
        if request.path in ("/readyz", "/healthz"):
            return web.Response(status=503, text=f"[-]starting {why()}\n")
        return render(request, Unavailable(f"the aggregator is starting: {why()}", retry_after=1.0))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app
