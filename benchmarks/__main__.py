"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME --json` runs one and prints one line."""

from __future__ import annotations

import argparse
import importlib
import sys

import orjson

from benchmarks.measure import machine

NAMES = {
    "initial_sync": "rows/s from empty to in sync: agents, aggregator and Postgres, beside COPY",
    "initial_sync_ingest": "rows/s of the aggregator alone, fed with ready batches, beside COPY and row-at-a-time",
    "freshness": "ms from a change at the API server to the row, at 100 changes/s",
    "list_500": "ms for a list of 500 whole pods, beside the same bytes from memory",
    "label_search": "ms for a label search of 20 rows, beside the same question without the index",
    "agent": "MB of an agent that watches 10,000 objects, and at 40,000",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(NAMES))
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout, all else on stderr")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size (smaller for a quick look)")
    options = parser.parse_args(argv)
    if options.name is None:
        for name, what in NAMES.items():
            print(f"{name:22} {what}")
        return 0
    module = importlib.import_module(f"benchmarks.{options.name}")
    figure = {"name": options.name, **module.run(scale=options.scale), "machine": machine()}
    if options.json:
        print(orjson.dumps(figure).decode())
    else:
        for key, value in figure.items():
            print(f"{key:16} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
