"""Partitions of the change log, made ahead and dropped whole."""

from __future__ import annotations

from schema.migrations import sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    sql.run("0003_maintenance.sql")
