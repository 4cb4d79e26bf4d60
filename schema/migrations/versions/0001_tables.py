"""The tables, the view and the watermark."""

from __future__ import annotations

from schema.migrations import sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    sql.run("0001_tables.sql")
