"""How a batch becomes rows: fleet.apply_batch, fleet.sweep_type."""

from __future__ import annotations

from schema.migrations import sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    sql.run("0002_apply.sql")
