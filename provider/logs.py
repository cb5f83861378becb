"""How log lines look: text for people, JSON for machines. Standard error, nothing else.

All lines of ours are made of a constant text ``event key=%s key=%s`` and its values. What a
line says is taken from these and never from the text that they give together: whatever a
value holds, it stays one value of one line, and nobody can write a line of his own into the
log. Each line within a request has the request's id, each about a job the job's.

The HTTP library quotes a request that it cannot read, with all the secrets that are in it,
as often as somebody likes to send one. Of its errors only the kind is kept.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
import traceback
from contextvars import ContextVar
from functools import lru_cache
from typing import Literal, NamedTuple

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from compute.context import JOB

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that the present task answers."""

LIBRARY = "library"
"""The event of lines that are not of our making; their text is the value ``text``."""

_FLOORS = ("provider", "compute")
_SPEC = re.compile(r"%(?:%|[#0\- +]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa])")
_KEY = re.compile(r"\s([A-Za-z_]\w*)=")
_EVENT = re.compile(r"[A-Za-z][\w. -]*")
_BARE = re.compile(r"[!#-<>-\[\]-~]+")
"""Values that need no quotes: printable ASCII but for blank, ``"``, ``=`` and backslash."""

_OF_EACH_LINE = frozenset({"time", "level", "logger", "event", "message", "trace"})

_INDENT = "    | "


class Trace(str):
    """A value of several lines, such as a place in the code: its first line is the value,
    the others are shown below the line."""

    __slots__ = ()


class _Field(NamedTuple):
    """``template`` is what stands behind the key, with ``specs`` values in it."""

    key: str
    template: str
    specs: int


class _Template(NamedTuple):
    event: str
    fields: tuple[_Field, ...]
    specs: int


class Line(NamedTuple):
    """What a record says. ``trace`` is empty or has several lines."""

    event: str
    fields: dict[str, object]
    trace: str


def line_of(record: logging.LogRecord) -> Line:
    """Event and values of a record, with the ids of the request and job it belongs to."""
    fields, traces = _told(record)
    event = fields.pop("event")
    if not getattr(record, "apart", False):
        for key, context in (("request", REQUEST), ("job", JOB)):
            if key not in fields and (about := context.get()):
                fields[key] = about
    if record.exc_info and record.exc_info[0] is not None:
        traces.append("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    return Line(str(event), fields, "\n".join(traces))


def _told(record: logging.LogRecord) -> tuple[dict[str, object], list[str]]:
    template = _template(record.msg) if isinstance(record.msg, str) else None
    args = record.args if isinstance(record.args, tuple) else ()
    ours = bool(args) or record.name.partition(".")[0] in _FLOORS
    if template is None or not ours or template.specs != len(args):
        return {"event": LIBRARY, "text": record.getMessage()}, []
    fields: dict[str, object] = {"event": template.event}
    traces: list[str] = []
    start = 0
    for key, text, specs in template.fields:
        values = args[start : start + specs]
        start += specs
        value = _value(text, values)
        if isinstance(value, Trace):
            value, _, below = value.partition("\n")
            traces += [below.rstrip("\n")] if below else []
        fields[key + "_" if key in _OF_EACH_LINE else key] = value
    return fields, traces


@lru_cache(maxsize=1024)
def _template(text: str) -> _Template | None:
    """The parts of a constant text, None for one that is not ``event key=…``."""
    event, *rest = _KEY.split(text)
    if not _EVENT.fullmatch(event):
        return None
    fields = tuple(
        _Field(key, template, sum(spec != "%%" for spec in _SPEC.findall(template)))
        for key, template in zip(rest[::2], rest[1::2], strict=True)
    )
    if len({each.key for each in fields}) < len(fields):
        return None
    return _Template(event, fields, sum(each.specs for each in fields))


def _value(template: str, values: tuple[object, ...]) -> object:
    """A value as it is where the template is but a place for it, else the text they give."""
    if len(values) != 1 or _SPEC.fullmatch(template) is None:
        return template % values
    [value] = values
    if template[-1] in "fFeEgG":
        shown = template % values
        return float(shown) if math.isfinite(float(shown)) else shown
    if isinstance(value, Trace) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    return template % values


class JsonFormatter(logging.Formatter):
    """One JSON object a line, times in UTC: ``event``, its values by key, and as
    ``message`` the whole as text."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event, fields, trace = line_of(record)
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **fields,
            "message": record.getMessage(),
        }
        if trace:
            line["trace"] = trace
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """``time LEVEL logger event key=value …``: values with anything odd in them are quoted
    as in JSON. A trace follows on lines that begin with blanks and a bar."""

    def format(self, record: logging.LogRecord) -> str:
        event, fields, trace = line_of(record)
        parts = [self.formatTime(record), record.levelname, record.name, event]
        parts += [f"{key}={_quoted(value)}" for key, value in fields.items()]
        below = [_INDENT + _printable(each) for each in trace.splitlines()]
        return "\n".join([" ".join(parts), *below])


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _printable(text: str) -> str:
    """The same on one line whatever a terminal makes of it."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


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
        # The task of a connection still has the id of the request before.
        record.apart = True
        if not isinstance(error, HttpProcessingError):
            place = "".join(traceback.format_tb(error.__traceback__))
            record.msg, record.args = "connection_failed error=%s", (Trace(f"{kind}\n{place}"),)
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
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for floor in _FLOORS:
        logging.getLogger(floor).setLevel(level.upper())
    server_logger.addFilter(_WITHOUT_VALUES)
