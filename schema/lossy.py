"""What JSONB and text columns cannot hold (NUL, lone surrogates) becomes U+FFFD there; bodies stay exact (traps 32)."""

from __future__ import annotations

import re

import msgspec

from schema.wire import Upsert

_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_UNKNOWN = rb"\ufffd"


def replaced(text: bytes) -> bytes:
    r"""JSON text with `\u0000` and lone surrogate escapes replaced, and raw bytes that are not UTF-8 as well."""
    text = text.decode("utf-8", "replace").encode()
    pieces: list[bytes] = []
    position = 0
    high: re.Match[bytes] | None = None  # an escape that waits for its other half
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else -1
        is_low = 0xDC00 <= code <= 0xDFFF
        if high is not None:
            if is_low and match.start() == high.end():
                high = None
                continue
            pieces += (text[position : high.start()], _UNKNOWN)
            position, high = high.end(), None
        if 0xD800 <= code <= 0xDBFF:
            high = match
        elif code == 0 or is_low:
            pieces += (text[position : match.start()], _UNKNOWN)
            position = match.end()
    if high is not None:
        pieces += (text[position : high.start()], _UNKNOWN)
        position = high.end()
    pieces.append(text[position:])
    return b"".join(pieces)


def without_nul(upsert: Upsert) -> Upsert:
    """The narrow columns without NUL."""
    clean = _clean
    return msgspec.structs.replace(
        upsert,
        status=clean(upsert.status),
        owners=[clean(value) for value in upsert.owners],
        labels=[clean(value) for value in upsert.labels],
        fields=[clean(value) for value in upsert.fields],
        cells=upsert.cells.replace(b"\x00", "\ufffd".encode()),
    )


def _clean(value: str) -> str:
    return value.replace("\x00", "\ufffd")
