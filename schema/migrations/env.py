"""Alembic's environment. It writes SQL, it never connects: aggregator.storage.migrate runs what comes out, so that no
second driver is needed. Run by Alembic only."""

from __future__ import annotations

from alembic import context

context.configure(
    dialect_name="postgresql",
    as_sql=True,
    dialect_opts={"paramstyle": "named"},
    version_table_schema="fleet",
    transaction_per_migration=False,
    output_buffer=context.config.output_buffer,
)
context.run_migrations()
