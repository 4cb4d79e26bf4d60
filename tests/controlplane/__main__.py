"""`python -m tests.controlplane`: builds the binaries, or runs control planes for a person until Ctrl-C."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import yaml

from tests.controlplane.build import binaries
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.plane import ControlPlane
from tests.controlplane.progress import say
from tests.controlplane.toolchain import BuildError


def main(arguments: list[str] | None = None) -> int:
    """Exit 0 when built, or when stopped by a signal; 1 with the reason on stderr."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.clusters < 0 or options.nodes < 0:
        parser.error("--clusters and --nodes count from 0")
    if not options.build and not options.clusters:
        parser.error("nothing to do: give --build, or --clusters N --kubeconfig FILE")
    if options.clusters and not options.kubeconfig:
        parser.error("--clusters needs --kubeconfig FILE, where the contexts c1, c2, … are written")
    if options.kubeconfig and _holds_other_contexts(options.kubeconfig):
        parser.error(f"{options.kubeconfig} has contexts that are not ours; name a file that may be overwritten")
    try:
        programs = binaries()
        if options.build:
            print(programs, flush=True)
        if options.clusters:
            _run(options, programs)
    except (BuildError, OSError) as error:
        print(f"controlplane: {error}", file=sys.stderr)
        return 1
    return 0


def _holds_other_contexts(kubeconfig: Path) -> bool:
    """True for a person's own file, which must not be lost."""
    if not kubeconfig.exists() or not kubeconfig.read_text().strip():
        return False
    try:
        content = yaml.safe_load(kubeconfig.read_text())
        names = [context["name"] for context in content["contexts"]]
    except (yaml.YAMLError, KeyError, TypeError):
        return True
    return not all(re.fullmatch(r"c\d+", name) for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.controlplane", description=__doc__)
    parser.add_argument("--build", action="store_true", help="build, and print the folder of the binaries")
    parser.add_argument("--clusters", type=int, default=0, metavar="N", help="run N control planes until Ctrl-C")
    parser.add_argument("--nodes", type=int, default=0, metavar="N", help="nodes per cluster, played by kwok")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="write the contexts c1, c2, … there")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep data and logs there, not in a temp folder")
    parser.add_argument("--fsync", action="store_true", help="let etcd sync its files, as in production")
    return parser


def _run(options: argparse.Namespace, programs: Path) -> None:
    stopped = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: stopped.set())
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="controlplane-")))
        options.kubeconfig.unlink(missing_ok=True)  # its being there says that they are ready
        planes: list[ControlPlane] = []
        for number in range(1, options.clusters + 1):
            if stopped.is_set():
                return
            name = f"c{number}"
            say(f"starting {name} …")
            plane = ControlPlane(work / name, name=name, programs=programs, fsync=options.fsync)
            planes.append(stack.enter_context(plane))
            plane.create_nodes(options.nodes)
            say(f"{name} is ready at {plane.url} with {options.nodes} nodes; logs in {plane.folder / 'log'}")
        write_kubeconfig(options.kubeconfig, [plane.context for plane in planes])
        print(f"ready: {options.clusters} clusters in {options.kubeconfig}; Ctrl-C stops them", flush=True)
        stopped.wait()
        say("stopping …")


if __name__ == "__main__":
    sys.exit(main())
