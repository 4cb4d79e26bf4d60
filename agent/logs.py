"""One JSON object per line on stderr (or text for people), with the member that a line is about."""

from __future__ import annotations

import contextvars
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

import orjson

member: contextvars.ContextVar[str] = contextvars.ContextVar("member", default="")
_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {**_head(record), "level": record.levelname.lower(), "logger": record.name, "msg": record.getMessage()}
        line |= _extra(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        words = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        text = f"{record.levelname.lower():7} {member.get() or '-'}: {record.getMessage()} {words}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _head(record: logging.LogRecord) -> dict[str, Any]:
    head: dict[str, Any] = {"ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")}
    if member.get():
        head["cluster"] = member.get()
    return head


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _PLAIN}


def to_stderr(form: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Text() if form == "text" else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
