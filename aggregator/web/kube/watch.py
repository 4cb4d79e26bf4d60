"""Watches."""

from __future__ import annotations

from typing import Any, Never

from schema.errors import NotBuilt


async def watch_objects(*args: Any) -> Never:
    raise NotBuilt("watch")
