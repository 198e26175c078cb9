"""Logs without patient data.

Lines are JSON objects. Identifiers do not enter them: the access log has the route's template in
place of the path, and of exceptions it is told where they were raised, but not what they say,
which may be a value of somebody's data.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """Formats log records as one JSON object a line; ``fields`` of a record become members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": when, "level": record.levelname, "logger": record.name}
        if message := record.getMessage():
            line["message"] = message
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1]:
            line["error"] = places(record.exc_info[1])
        return json.dumps(line)


def places(error: BaseException) -> list[str]:
    """Return kinds and places of an exception and its causes, without what they say."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        told.append(type(cause).__qualname__)
        frames = traceback.extract_tb(cause.__traceback__)
        told += [f"  {one.filename}:{one.lineno} {one.name}" for one in reversed(frames)]
        cause = cause.__cause__ or cause.__context__
    return told


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": JsonLines}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "lines",
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "_granian": {"propagate": True},
        "granian.access": {"propagate": True},
        "slidegate.access": {"level": "INFO"},
    },
}
"""Configuration of all processes that run until they are stopped."""
