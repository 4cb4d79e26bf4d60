"""An agent in this process, for tests: one member of a simulated fleet against a hub in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.member import Member
from agent.settings import MemberSettings, Settings
from simulator.fleet import MemberHandle
from tests.integration.agent_hub import TOKEN, AgentHub


@asynccontextmanager
async def agent(
    hub: AgentHub, kubeconfig: Path | None, context: str = "sim-1", folder: Path | None = None, **settings: Any
) -> AsyncIterator[Member]:
    """Runs while the block runs; an agent that ends by an error fails the test. Without a kubeconfig it believes to
    be in a pod, and its credential is put into `folder`."""
    place = folder or (kubeconfig.parent if kubeconfig else None)
    assert place is not None
    token = place / "agent-token"
    token.write_text(TOKEN)
    own = MemberSettings(context, hub.url, token, None, kubeconfig, context, settings.pop("lease", "off"))
    member = Member(Settings((own,), **settings), own)
    task = asyncio.create_task(member.run())
    try:
        yield member
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def truth(handle: MemberHandle, group: str, resource: str) -> dict[tuple[str, str], str]:
    """(namespace, name) → uid of all that the member has of a type."""
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["metadata"]["uid"]
        for one in handle.objects(group, resource)
    }


def versions(handle: MemberHandle, group: str, resource: str) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): (
            one["metadata"]["uid"],
            one["metadata"]["resourceVersion"],
        )
        for one in handle.objects(group, resource)
    }


def stored(hub: AgentHub, name: str) -> dict[tuple[str, str], tuple[str, str]]:
    return {key: (row.uid, row.resource_version) for key, row in hub.rows(name).items()}


def config_map(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }
