"""A byte stream cut into lines in bounded memory."""

from __future__ import annotations

from agent.errors import Oversized


class Lines:
    """Feed chunks, take whole lines. A line above `limit` bytes raises Oversized: the stream cannot be followed past an
    object that it does not show, so its reader has to begin anew."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            line = b"".join(self._parts)
            self._parts, self._size = [], 0
            if line.strip():
                lines.append(line)
        self._keep(rest)
        return lines

    def _keep(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._size > self._limit:
            self._parts, self._size = [], 0
            raise Oversized(f"the watch sent an event of more than {self._limit} bytes")
        self._parts.append(part)
