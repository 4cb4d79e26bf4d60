"""A Postgres for tests: one server a session, migrated once into a template, a fresh copy per test.

First that works: FLEETPEDIA_TEST_DATABASE (the URL of a database on a server where databases may be created; both are
left as they were), testcontainers where Docker runs, this machine's binaries, the extra `embedded`'s.
FLEETPEDIA_TEST_POSTGRES chooses instead: `container`, `system`, `wheel` or a folder of binaries."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from aggregator.storage.migrate import migrate
from aggregator.storage.pool import Database
from tests import postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a maintenance database on the test server; the user may create databases."""
    with _server() as url:
        yield url


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> Iterator[str]:
    """Name of a migrated database that the tests' own are copied from."""
    name = f"fp_template_{secrets.token_hex(4)}"
    asyncio.run(_execute(postgres_url, f'create database "{name}"'))
    asyncio.run(migrate(_database(postgres_url, name)))
    yield name
    asyncio.run(_execute(postgres_url, f'drop database "{name}" with (force)'))


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """URL of a migrated database for this test alone."""
    name = f"fp_test_{secrets.token_hex(6)}"
    await _execute(postgres_url, f'create database "{name}" template "{template_database}"')
    yield _database(postgres_url, name)
    await _execute(postgres_url, f'drop database "{name}" with (force)')


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """URL of a database without our schema."""
    name = f"fp_empty_{secrets.token_hex(6)}"
    await _execute(postgres_url, f'create database "{name}"')
    yield _database(postgres_url, name)
    await _execute(postgres_url, f'drop database "{name}" with (force)')


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open Database on a migrated database for this test alone."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


@contextmanager
def _server() -> Iterator[str]:
    given = os.environ.get("FLEETPEDIA_TEST_DATABASE")
    wanted = os.environ.get("FLEETPEDIA_TEST_POSTGRES", "")
    if given:
        yield given
    elif wanted == "container" or (not wanted and _docker_runs()):
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:18", driver=None) as container:
            yield container.get_connection_url()
    else:
        with postgres.server(_binaries(wanted)) as url:
            yield url


def _binaries(wanted: str) -> Path:
    if wanted not in ("", "system", "wheel"):
        return Path(wanted)
    found = (wanted != "wheel" and postgres.system_binaries()) or (wanted != "system" and postgres.wheel_binaries())
    if not found:
        pytest.fail("no Postgres for tests: set FLEETPEDIA_TEST_DATABASE, start Docker, or install Postgres")
    return found


def _docker_runs() -> bool:
    return "DOCKER_HOST" in os.environ or Path("/var/run/docker.sock").exists()


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
