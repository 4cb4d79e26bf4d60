"""Column descriptions as the API server gives them: data, made by `tests/e2e/dump_descriptions.py`."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import msgspec

DESCRIPTIONS: Final[dict[str, dict[str, str]]] = msgspec.json.decode(
    files("schema.printing").joinpath("descriptions.json").read_bytes(), type=dict[str, dict[str, str]]
)
"""By `resource.group` and column name; under `*` those that are the same everywhere."""
