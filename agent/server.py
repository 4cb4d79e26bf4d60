"""/metrics, /livez and /readyz of the agent."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from agent.member import Member
from agent.metrics import exposition
from agent.settings import SettingsError


async def serve(address: str, members: Sequence[Member]) -> web.AppRunner:
    """Listens on HOST:PORT until `cleanup()`. Raises SettingsError where it cannot."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=exposition(member.metrics for member in members), content_type="text/plain")

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting = [
            f"{one.metrics.cluster or 'member'}: {one.trouble or 'in sync soon'}" for one in members if not one.ready
        ]
        return web.Response(text="\n".join(waiting or ["ok"]) + "\n", status=503 if waiting else 200)

    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise SettingsError(f"--metrics is {address!r}; it must be HOST:PORT")
    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or "0.0.0.0", int(port)).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(f"--metrics {address} cannot be listened on: {error.strerror}") from error
    return runner
