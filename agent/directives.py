"""What the aggregator wants done: a long poll hands out directives, their results go back with the next one."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from agent.backoff import Backoff
from agent.errors import KubeError
from agent.reflect import Reflector
from agent.session import Session, SessionEnd
from agent.types import Types
from agent.verify import verify
from schema.errors import BadRequest, Fenced, FleetpediaError, TooLarge
from schema.wire import Directive, DirectiveResult, Directives, DirectivesRequest

log = logging.getLogger(__name__)
WAIT_SECONDS: Final = 25.0
RELIST_SECONDS: Final = 600.0
AT_A_TIME: Final = 4
BUSY_SECONDS: Final = 0.3


class Closed(Exception):
    """The cluster is being removed: the agent ends."""


class Orders:
    """`done` outlives sessions: a result that was not taken is offered again."""

    def __init__(self, session: Session, types: Types | None, done: list[DirectiveResult]) -> None:
        self._session, self._types, self._done = session, types, done
        self._running: dict[int, asyncio.Task[None]] = {}
        self._gate = asyncio.Semaphore(AT_A_TIME)

    async def run(self) -> None:
        """Raises Closed, SessionEnd for `reload`, Fenced."""
        backoff = Backoff(0.5, 15.0)
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    # A poll that waits is never given up: what it is just being handed would be lost. So while
                    # something is carried out, polls are short, and its result goes out soon.
                    answer = await self._poll(BUSY_SECONDS if self._running else WAIT_SECONDS)
                    backoff.reset()
                except Fenced:
                    raise
                except FleetpediaError as error:
                    await asyncio.sleep(max(error.retry_after or 0.0, backoff.next()))
                    continue
                for directive in answer.directives:
                    await self._take(directive, group)

    async def _poll(self, wait: float) -> Directives:
        offered = list(self._done)
        request = DirectivesRequest(self._session.epoch, offered, 0.0 if offered else wait)
        try:
            answer = await self._session.hub.call("directives", request, Directives, timeout=wait + 15)
        except (BadRequest, TooLarge) as error:
            # Offered again as they are, they would be refused for ever, and nothing that is asked would come through.
            for result in offered:
                self._done.remove(result)
                self._done.append(DirectiveResult(result.id, f"the report cannot be handed over: {error.message}"))
            raise
        for result in offered:
            self._done.remove(result)
        return answer

    async def _take(self, directive: Directive, group: asyncio.TaskGroup) -> None:
        log.info("directive", extra={"id": directive.id, "kind": directive.kind})
        if directive.kind in ("reload", "close"):
            self._done.append(DirectiveResult(directive.id))
            try:
                await self._poll(0.0)
            except FleetpediaError as error:
                log.info("the result is handed over later", extra={"reason": error.message})
            if directive.kind == "close":
                raise Closed("the aggregator has removed this cluster")
            raise SessionEnd("the aggregator asked for a new session")
        if directive.id not in self._running:
            self._running[directive.id] = group.create_task(self._carry_out(directive))

    async def _carry_out(self, directive: Directive) -> None:
        error, result = "", {}
        try:
            result = await self._answer(directive)
        except (KubeError, FleetpediaError, ValueError, TimeoutError) as failure:
            error = str(failure) or type(failure).__name__
        self._running.pop(directive.id, None)
        self._done.append(DirectiveResult(directive.id, error, result))

    async def _answer(self, directive: Directive) -> dict[str, Any]:
        if self._types is None:
            raise ValueError("the cluster is paused")
        names = [str(name) for name in directive.args.get("types") or []]
        reflectors = self._types.named(names)
        unknown = set(names) - {reflector.type.name for reflector in reflectors}
        if unknown:
            raise ValueError(f"the member's agent syncs no {', '.join(sorted(unknown))}")
        one = {"verify": self._verify, "relist": self._relist}.get(directive.kind)
        if one is None:
            raise ValueError(f"this agent knows no directive {directive.kind!r}")
        return {"types": [await one(reflector) for reflector in sorted(reflectors, key=lambda it: it.type.name)]}

    async def _verify(self, reflector: Reflector) -> dict[str, Any]:
        """A type that cannot be read does not keep the others from being verified; it says so itself."""
        async with self._gate:
            try:
                return await verify(self._session, reflector)
            except* (KubeError, FleetpediaError) as group:
                reason = str(group.exceptions[0])
        nothing: dict[str, Any] = {"member": 0, "store": 0, "missing": [], "ghost": [], "different": []}
        return {"type": reflector.type.name, **nothing, "error": reason}

    async def _relist(self, reflector: Reflector) -> dict[str, Any]:
        if reflector.status.state in ("Denied", "Failed"):
            return {"type": reflector.type.name, "error": reflector.status.reason}
        async with asyncio.timeout(RELIST_SECONDS):
            await reflector.compared("relist")
        return {"type": reflector.type.name}
