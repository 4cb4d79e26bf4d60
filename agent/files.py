"""Contents that may change under us: files that are read again when they change, and contents given inline."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """`stamp` differs whenever `read` may answer something else."""

    def read(self) -> bytes: ...

    @property
    def stamp(self) -> object: ...


class Inline:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.stamp: object = None

    def read(self) -> bytes:
        return self._content


class WatchedFile:
    """A file that others replace (projected service account tokens, rotated credentials)."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read_at: object = None
        self._content = b""

    @property
    def stamp(self) -> object:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> bytes:
        """Raises OSError where the file cannot be read."""
        stamp = self.stamp
        if stamp != self._read_at:
            self._content = self.path.read_bytes()
            self._read_at = stamp
        return self._content
