from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.fleet import Fleet
from tests.integration.agent_hub import AgentHub


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(kubeconfig=tmp_path / "kubeconfig", clusters=1, objects=600, bookmark_seconds=1.0) as fleet:
        yield fleet


@pytest.fixture
async def hub() -> AsyncIterator[AgentHub]:
    async with AgentHub() as hub:
        yield hub
