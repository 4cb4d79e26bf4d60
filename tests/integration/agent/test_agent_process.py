"""The agent as a process: settings, signals, metrics, many members in one."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from simulator.fleet import Fleet
from tests.integration.agent_hub import TOKEN, AgentHub


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.main", *arguments, stdout=PIPE, stderr=PIPE
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def arguments(fleet: Fleet, hub: AgentHub) -> list[str]:
    token = fleet.kubeconfig.with_name("credential")
    token.write_text(TOKEN)
    return [
        "--server",
        hub.url,
        "--token-file",
        str(token),
        "--kubeconfig",
        str(fleet.kubeconfig),
        "--context",
        "sim-1",
    ]


async def test_it_syncs_shows_its_metrics_and_ends_when_told(fleet: Fleet, hub: AgentHub) -> None:
    port = free_port()
    async with process(*arguments(fleet, hub), "--metrics", f"127.0.0.1:{port}") as running:
        await hub.until(hub.in_sync, 40)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            async with http.get("/livez") as answer:
                assert answer.status == 200
            async with http.get("/readyz") as answer:
                assert answer.status == 200, await answer.text()
            async with http.get("/metrics") as answer:
                text = await answer.text()
        assert 'fleetpedia_type_lag_seconds{cluster="one",type="pods"} 0\n' in text
        assert 'fleetpedia_agent_epoch{cluster="one"} 1\n' in text
        assert 'fleetpedia_resync_total{cluster="one",reason="first"}' in text
        running.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(running.communicate(), 10)
        assert running.returncode == 0
        assert out == b""
        lines = [json.loads(line) for line in err.splitlines()]
        assert lines[-1]["msg"] == "ended"
        assert {"ts", "level", "logger", "msg"} <= set(lines[0])


async def test_a_kill_during_the_first_list_loses_nothing(fleet: Fleet, hub: AgentHub) -> None:
    hub.gate.clear()
    async with process(*arguments(fleet, hub)) as running:
        await hub.until(lambda: hub.counts["push"] > 0, 20)
        hub.gate.set()
        await hub.until(lambda: hub.counts["push"] > 1, 20)
        running.kill()
        await running.wait()
    async with process(*arguments(fleet, hub)):
        await hub.until(lambda: len(hub.hellos) == 2 and hub.in_sync(), 40)
        result = await hub.order("verify")
        assert not result.error
        assert [one for one in result.result["types"] if one["missing"] or one["ghost"] or one["different"]] == []


async def test_wrong_settings_end_with_two_and_a_sentence(fleet: Fleet, hub: AgentHub, tmp_path: Path) -> None:
    good = arguments(fleet, hub)
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    cases = [
        ([], "needs server"),
        ([*good, "--context", "nobody"], "has no context 'nobody'; it has 'sim-1'"),
        ([*good, "--metrics", "9000"], "must be HOST:PORT"),
        ([*good, "--metrics", f"127.0.0.1:{taken.getsockname()[1]}"], "cannot be listened on"),
        (good[:4], "this is no pod"),
    ]
    for words, message in cases:
        async with process(*words) as running:
            _, err = await asyncio.wait_for(running.communicate(), 20)
            assert running.returncode == 2, err
            assert message in err.decode(), err
            assert "Traceback" not in err.decode()
    taken.close()


async def test_many_members_in_one_process(tmp_path: Path) -> None:
    async with (
        Fleet(kubeconfig=tmp_path / "kubeconfig", clusters=3, objects=100) as fleet,
        AgentHub() as one,
        AgentHub() as two,
        AgentHub() as three,
    ):
        hubs = [one, two, three]
        token = tmp_path / "token"
        token.write_text(TOKEN)
        common = {"token_file": str(token), "kubeconfig": str(fleet.kubeconfig)}
        members = [
            {**common, "name": name, "server": hub.url, "context": name}
            for name, hub in zip(fleet.names, hubs, strict=True)
        ]
        file = tmp_path / "members.yaml"
        file.write_text(yaml.safe_dump(members))
        async with process("--members", str(file)):
            for hub in hubs:
                await hub.until(hub.in_sync, 60)
        assert len({hub.uid for hub in hubs}) == 3


async def test_an_unreachable_member_is_named_in_the_log(fleet: Fleet, hub: AgentHub) -> None:
    words = arguments(fleet, hub)
    await fleet.stop()
    async with process(*words, "--log-format", "text") as running:
        assert running.stderr
        line = await asyncio.wait_for(running.stderr.readline(), 20)

        assert b"no session" in line
        assert b"/api/v1/namespaces/kube-system" in line
        await hub.until(lambda: hub.troubles, 10, "the aggregator is told")
        assert "/api/v1/namespaces/kube-system" in hub.troubles[0]
        assert "127.0.0.1" in hub.troubles[0]
        await fleet.start()
        await hub.until(hub.in_sync, 60)
