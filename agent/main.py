"""The agent process: reads its settings, runs its members, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvloop

from agent import logs, memory
from agent.access import AccessError
from agent.member import Member
from agent.server import serve
from agent.settings import Settings, SettingsError, read

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when told to end, 2 for wrong settings."""
    try:
        settings = read(arguments)
        logs.to_stderr(settings.log_format, settings.log_level)
        memory.prepare()
        uvloop.run(run(settings))
    except (SettingsError, AccessError) as error:
        print(f"fleetpedia-agent: {error}", file=sys.stderr)
        return 2
    return 0


async def run(settings: Settings) -> None:
    """Runs until all members are closed, SIGTERM or SIGINT. Raises SettingsError and AccessError."""
    members = [Member(settings, own) for own in settings.members]
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    server = await serve(settings.metrics, members) if settings.metrics else None
    running = asyncio.create_task(_all(members))
    stopping = asyncio.create_task(ending.wait())
    tidying = asyncio.create_task(memory.keep_small())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopping, tidying):
            task.cancel()
        await asyncio.gather(running, stopping, tidying, return_exceptions=True)
        if server:
            await server.cleanup()
        log.info("ended")


async def _all(members: list[Member]) -> None:
    await asyncio.gather(*(member.run() for member in members))


if __name__ == "__main__":
    sys.exit(main())
