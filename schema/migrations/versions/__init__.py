"""Alembic revisions: each runs the SQL file of its number. They expand first and contract a release later."""
