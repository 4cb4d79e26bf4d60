"""How a revision runs its SQL file."""

from __future__ import annotations

from pathlib import Path


def run(name: str) -> None:
    """Run `name` (a file of this folder) as it is. Called inside an Alembic revision."""
    from alembic import op
    from sqlalchemy import text

    script = Path(__file__).with_name(name).read_text(encoding="utf-8")
    op.execute(text(script.replace(":", r"\:")))  # a colon is a bound value to SQLAlchemy, a cast to us
