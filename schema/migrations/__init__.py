"""The tables as SQL, one numbered file per step, each run by the Alembic revision of the same number in `versions`."""
