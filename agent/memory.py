"""Memory that a list has needed goes back to the system, so that an agent stays as small as its member is quiet."""

from __future__ import annotations

import asyncio
import ctypes
import logging
from typing import Final

log = logging.getLogger(__name__)
M_MMAP_THRESHOLD: Final = -3
EVERY_SECONDS: Final = 15.0
LARGE_BYTES: Final = 1 * 1024 * 1024
"""From here on an allocation is the system's own mapping: a page of a list goes back the moment it is freed, while in
the heap it would lie between small pieces and stay."""


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
    except (OSError, TypeError):
        return None


_library = _glibc()


def prepare() -> None:
    """Once, at the start. Other C libraries than glibc are left as they are."""
    if _library and not _library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES):
        log.info("the C library does not take a threshold for large allocations")


async def keep_small() -> None:
    """Gives back what is free, now and then; a few milliseconds each time. For ever."""
    while _library:
        await asyncio.sleep(EVERY_SECONDS)
        _library.malloc_trim(0)
