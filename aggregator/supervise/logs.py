"""Logs of children, kept small. They write into their files themselves, so that no log line waits for a supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

LARGEST: Final = 16 * 1024 * 1024


def trim(folder: Path, largest: int = LARGEST) -> None:
    """Move the content of each log over `largest` bytes to NAME.log.1. Writers append, so they go on in the emptied
    file; a line written between copy and cut is lost, which is the price of not standing in their way."""
    for file in folder.glob("*.log"):
        if file.stat().st_size > largest:
            kept = file.with_name(f"{file.name}.1")
            shutil.copyfile(file, kept)
            kept.chmod(0o600)
            os.truncate(file, 0)


async def keep_trimmed(folder: Path, seconds: float = 5.0) -> None:
    """For ever."""
    while True:
        trim(folder)
        await asyncio.sleep(seconds)
