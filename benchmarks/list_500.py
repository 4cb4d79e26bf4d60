"""Milliseconds for a list of 500 whole pods on `/fleet`, beside the same bytes from memory."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks import hub, pods
from benchmarks.measure import CpuClock, median, percentile
from benchmarks.stack import Stack, installation

PODS = 5_000
REQUESTS = 60


def run(scale: float) -> dict[str, Any]:
    with installation() as stack:
        return asyncio.run(_measure(stack, max(1000, int(PODS * scale))))


async def fill(http: aiohttp.ClientSession, stack: Stack, count: int, name: str = "bench", seed: int = 0) -> None:
    member = await hub.add_cluster(http, stack, name)
    await member.open()
    maker = hub.FrameMaker(member.type_id)
    await member.push(member.batches([maker.frame(raw) for raw in pods.raw(count, seed=seed)]))


async def _measure(stack: Stack, count: int) -> dict[str, Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stack.tls())) as http:
        await fill(http, stack, count)
        url = f"{stack.url}/fleet/api/v1/pods?limit=500"
        headers = {"Authorization": f"Bearer {stack.token}", "Accept-Encoding": "identity"}
        clock = CpuClock({"aggregator": stack.pids("aggregator"), "postgres": stack.pids("postgres")})
        times, body = await _time(http, url, headers)
        used = clock.used()
        memory_times = await _from_memory(stack, body)
    value, baseline = median(times), median(memory_times)
    return {
        "value": round(value, 2),
        "unit": "ms p50",
        "p99": round(percentile(times, 0.99), 2),
        "baseline": round(baseline, 2),
        "baseline_name": "the same bytes from memory, aiohttp with TLS",
        "ratio": round(baseline / value, 3),
        "bytes": len(body),
        "cpu_ms_per_request": {name: round(seconds / REQUESTS * 1e3, 2) for name, seconds in used.items()},
    }


async def _time(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> tuple[list[float], bytes]:
    times = []
    body = b""
    for number in range(REQUESTS + 5):
        started = time.perf_counter()
        async with http.get(url, headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{url}: {answer.status} {body[:500]!r}")
        if number >= 5:
            times.append((time.perf_counter() - started) * 1e3)
    return times, body


async def _from_memory(stack: Stack, body: bytes) -> list[float]:
    """A server in a process of its own that answers every request with `body`."""
    serving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.list_500", str(stack.data)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert serving.stdin is not None
    assert serving.stdout is not None
    serving.stdin.write(body)
    serving.stdin.write_eof()
    port = int(await serving.stdout.readline())
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stack.tls())) as http:
            return (await _time(http, f"https://127.0.0.1:{port}/", {}))[0]
    finally:
        serving.terminate()
        await serving.wait()


async def _serve_memory(folder: str) -> None:
    body = sys.stdin.buffer.read()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = certificate_files(Path(folder))
    context.load_cert_chain(certificate, key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def certificate_files(data: Path) -> tuple[str, str]:
    from aggregator.certificates import ensure_certificates

    made = ensure_certificates(data, [])
    return str(made.cert), str(made.key)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve_memory(sys.argv[1]))
