"""What a person types. Verbs that ask or manage speak HTTP only; `up`, `down`, `serve` and `migrate` start processes or
touch the database. Data goes to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys
from importlib import import_module

GOOD, NEGATIVE, USAGE, UNREACHABLE = range(4)
"""Exit codes."""


def main(argv: list[str] | None = None) -> int:
    """The entry point `fleetpedia`."""
    from aggregator.cli.parser import build_parser

    options = build_parser().parse_args(argv)
    module, function = options.verb.split(":")
    try:
        code: int = getattr(import_module(f"aggregator.cli.{module}"), function)(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return GOOD
    except Exception as error:
        from aggregator.cli.failures import explained

        text, code = explained(error)
        print(f"fleetpedia: {text}", file=sys.stderr)
        return code
