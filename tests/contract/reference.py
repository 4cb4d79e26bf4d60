"""The reference pages, made from the code: `python -m tests.contract.reference` writes them, a test compares them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from aggregator import settings
from aggregator.cli.parser import build_parser

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MADE = "<!-- Made by `python -m tests.contract.reference`; change the code, not this page. -->\n"


def command_line() -> str:
    """Markdown of every verb with every argument."""
    parser = build_parser()
    parts = [MADE, "# Command line", "", parser.description or "", "", f"{parser.epilog}."]
    parts += ["", "Data goes to stdout, all else to stderr. Settings of a client: flags, else `FLEETPEDIA_SERVER`,"]
    parts += ["`FLEETPEDIA_TOKEN`, `FLEETPEDIA_CA`, else the data folder of an `up` on this machine."]
    for name, verb in verbs(parser):
        arguments = [action for action in verb._actions if not isinstance(action, argparse._HelpAction)]
        usage = " ".join(_usage(action) for action in arguments if not action.option_strings)
        parts += ["", f"## `fleetpedia {name}{f' {usage}' if usage else ''}`", "", f"{verb.description}."]
        flags = [action for action in arguments if action.option_strings]
        parts += ["", "| flag | what |", "|---|---|", *(_row(action) for action in flags)]
    return "\n".join(parts) + "\n"


def verbs(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb by its whole name, without aliases."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            seen: set[int] = set()
            for name, inner in action.choices.items():
                if id(inner) in seen:
                    continue
                seen.add(id(inner))
                nested = list(verbs(inner, f"{prefix}{name} "))
                yield from nested or [(f"{prefix}{name}", inner)]


def settings_page() -> str:
    """Markdown of the aggregator's settings."""
    from dataclasses import fields

    parts = [MADE, "# Settings of the aggregator", ""]
    parts += ["Flags of `fleetpedia serve` (some also of `up`) and environment variables; the flag wins.", ""]
    parts += ["| flag | variable | default | what |", "|---|---|---|---|"]
    for setting in fields(settings.Settings):
        flag = setting.metadata["flag"]
        variable = "FLEETPEDIA_" + flag.removeprefix("--").replace("-", "_").upper()
        default = "" if str(setting.default) in ("", ".", "None") else f"`{setting.default}`"
        parts.append(f"| `{flag}` | `{variable}` | {default} | {_cell(setting.metadata['help'])} |")
    return "\n".join(parts) + "\n"


def rest_page() -> str:
    """Markdown of every REST operation; the handlers are not called, so their services may be anything."""
    from unittest.mock import MagicMock

    from aggregator.web import rest

    parts = [MADE, "# REST", "", "JSON in and out; errors are RFC 9457 problems. `/openapi.json` has the types."]
    parts += ["", "| | path | what | parameters |", "|---|---|---|---|"]
    for operation in rest.operations(MagicMock()):
        names = ", ".join(f"`{parameter.name}`" for parameter in operation.parameters)
        summary = _cell(operation.summary) + (" (answers 501)" if operation.reserved else "")
        parts.append(f"| {operation.method} | `{operation.path}` | {summary} | {names} |")
    return "\n".join(parts) + "\n"


def _usage(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    if action.nargs == "?":
        return f"[{name}]"
    return f"{name} …" if action.nargs == "+" else name


def _row(action: argparse.Action) -> str:
    value = f" {action.metavar}" if action.metavar else ""
    if action.choices and not action.metavar:
        value = " " + "\\|".join(map(str, action.choices))
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    return f"| {names}{_cell(value) if not action.choices else value} | {_cell(action.help or '')} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("%%", "%")


def pages() -> dict[str, str]:
    return {"cli.md": command_line(), "settings.md": settings_page(), "rest.md": rest_page()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, content in pages().items():
        (FOLDER / file).write_text(content)
