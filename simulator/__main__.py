"""`python -m simulator`: a fleet of simulated members until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import yaml

from .faults import Fault, parse_fault
from .fleet import Fleet, Settings


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description="Simulated member clusters in one process.")
    add = parser.add_argument
    add("--clusters", type=int, default=0, metavar="N", help="members (default: as many as names, else 1)")
    add("--objects", type=int, default=1000, metavar="N", help="objects per member (default 1000)")
    add("--churn", type=float, default=0.0, metavar="R", help="changes a second per member (default 0)")
    add("--seed", type=int, default=1, help="the same seed makes the same objects (default 1)")
    add("--kubeconfig", type=Path, required=True, metavar="OUT", help="where the kubeconfig is written")
    add("--faults", type=Path, metavar="FILE", help="what is to go wrong, as YAML or JSON")
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="0 is a free port, kept over restarts")
    add("--names", default="", metavar="A,B", help="names of the members (default sim-1, sim-2, …)")
    add("--pod-bytes", type=int, default=6000, metavar="N", help="size of a pod without managedFields")
    add("--only", choices=["pods"], default="", help="almost nothing but pods, for benchmarks")
    add("--window", type=int, default=5000, metavar="N", help="changes kept per type for watches")
    add("--bookmark-seconds", type=float, default=60.0, metavar="S", help="time between bookmarks")
    add("--no-tls", action="store_true", help="plain HTTP (kubectl then sends no credentials)")
    return parser.parse_args(argv)


def _settings(args: argparse.Namespace) -> Settings:
    names = tuple(name.strip() for name in args.names.split(",") if name.strip())
    host, _, port = args.listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"--listen {args.listen!r}: must be HOST:PORT, e.g. 127.0.0.1:0")
    if args.objects < 1 or args.churn < 0:
        raise ValueError("--objects must be at least 1 and --churn not negative")
    return Settings(
        clusters=args.clusters or len(names) or 1,
        objects=args.objects,
        churn=args.churn,
        seed=args.seed,
        names=names,
        pod_bytes=args.pod_bytes,
        only=args.only,
        host=host,
        port=int(port),
        tls=not args.no_tls,
        window=args.window,
        bookmark_seconds=args.bookmark_seconds,
    )


def _faults(path: Path | None) -> list[Fault]:
    if path is None:
        return []
    entries = yaml.safe_load(path.read_text())
    if not isinstance(entries, list):
        raise ValueError(f"{path}: must be a list of faults")
    return [parse_fault(entry) for entry in entries]


async def _serve(settings: Settings, kubeconfig: Path, faults: list[Fault]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Fleet(settings, kubeconfig) as fleet:
        if faults:
            fleet.plan(faults)
        count = fleet.settings.clusters
        print(f"simulator: {count} members at {fleet.url}, kubeconfig {kubeconfig}", file=sys.stderr, flush=True)
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    try:
        settings, faults = _settings(args), _faults(args.faults)
        settings.member_names()
    except (ValueError, OSError, yaml.YAMLError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    try:
        import uvloop

        uvloop.run(_serve(settings, args.kubeconfig, faults))
    except OSError as error:
        print(f"simulator: cannot listen on {args.listen}: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
