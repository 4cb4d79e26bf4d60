"""Who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASKING = ["clusters", "connection", "discovery", "failures", "output", "policy", "reading", "tokens", "verify"]
"""Modules of verbs that ask or manage: HTTP only."""


def test_the_contracts_of_the_layers_are_kept() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_storage_touches_asyncpg() -> None:
    users = {path for path in _sources("aggregator") if "asyncpg" in _imports(path)}
    assert users
    outside = [path for path in users if ROOT / "aggregator" / "storage" not in path.parents]
    assert outside == []


@pytest.mark.parametrize("package", ["agent", "simulator", "schema"])
def test_no_other_package_touches_the_database(package: str) -> None:
    assert [path for path in _sources(package) if "asyncpg" in _imports(path)] == []


@pytest.mark.parametrize("module", ASKING)
def test_verbs_that_ask_or_manage_speak_http_only(module: str) -> None:
    """In a process of its own, so that what other tests imported does not count."""
    code = (
        f"import sys, aggregator.cli.{module}; "
        "print([name for name in sys.modules if name in ('asyncpg', 'aiohttp', 'sqlalchemy', 'agent', 'uvloop')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_has_no_clock_and_no_io() -> None:
    forbidden = {"time", "asyncio", "socket", "os", "random", "subprocess", "threading", "aiohttp", "asyncpg"}
    for path in _sources("schema"):
        if "migrations" not in path.parts:
            assert not _imports(path) & forbidden, path


def _sources(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def _imports(path: Path) -> set[str]:
    """Top names of what a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
