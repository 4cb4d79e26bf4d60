"""An error as one clear line and an exit code."""

from __future__ import annotations

from aggregator import cli
from aggregator.client import ApiError, UnreachableError
from schema.errors import BadRequest, FleetpediaError, NotBuilt, Unavailable

_NO_ANSWER = (502, 503, 504)


def explained(error: Exception) -> tuple[str, int]:
    """What to say, and the exit code. An error that is none of ours is a defect and is raised again."""
    if isinstance(error, ApiError):
        return _line(error.message), _code(error.status)
    if isinstance(error, UnreachableError):
        return _line(str(error)), cli.UNREACHABLE
    if isinstance(error, FleetpediaError):
        return error.message, _local_code(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error), cli.NEGATIVE
    raise error


def _code(status: int) -> int:
    if status in _NO_ANSWER:
        return cli.UNREACHABLE
    return cli.USAGE if status in (400, 422, 501) else cli.NEGATIVE


def _local_code(error: FleetpediaError) -> int:
    if isinstance(error, Unavailable):
        return cli.UNREACHABLE
    return cli.USAGE if isinstance(error, BadRequest | NotBuilt) else cli.NEGATIVE


def _line(text: str) -> str:
    return " ".join(text.split())
