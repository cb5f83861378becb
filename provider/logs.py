"""How log lines look: text for people, JSON for machines. Standard error, nothing else.

The HTTP library quotes a request that it cannot read, with all the secrets that are in it,
as often as somebody likes to send one. Of its errors only the kind is kept.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Literal

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


class WithoutValues(logging.Filter):
    """Rewrites errors of the HTTP library: a request that could not be read is one short
    line, at most one in ``interval_s``; a fault of ours tells its place, not its message."""

    def __init__(self, interval_s: float = 1.0) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return True
        kind, record.exc_info, record.exc_text = type(error).__name__, None, None
        if not isinstance(error, HttpProcessingError):
            place = "".join(traceback.format_tb(error.__traceback__))
            record.msg, record.args = "connection_failed error=%s\n%s", (kind, place)
            return True
        record.msg, record.args = "request_unreadable error=%s", (kind,)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        due = record.created - self._last >= self._interval_s
        self._last = record.created if due else self._last
        return due


_WITHOUT_VALUES = WithoutValues()


def configure(level: Literal["debug", "info", "warning", "error"], style: str) -> None:
    """Send the log of both floors to standard error. Libraries speak from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for floor in ("provider", "compute"):
        logging.getLogger(floor).setLevel(level.upper())
    server_logger.addFilter(_WITHOUT_VALUES)
