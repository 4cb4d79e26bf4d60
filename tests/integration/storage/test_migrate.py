from __future__ import annotations

import asyncio

import asyncpg
import pytest

from aggregator.storage.migrate import head, migrate, schema_state
from schema.errors import Unprocessable


async def test_two_first_starts_migrate_once(empty_database_url: str) -> None:
    before = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)))
    assert None in {state.current for state in before}
    assert (await schema_state(empty_database_url)).is_current


async def test_a_newer_schema_is_refused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("update fleet.alembic_version set version_num = '9999'")
    await connection.close()
    with pytest.raises(Unprocessable, match="use a newer version"):
        await migrate(database_url)


def test_the_last_sql_file_is_alembics_head() -> None:
    from importlib import resources

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(resources.files("schema.migrations")))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == head()
