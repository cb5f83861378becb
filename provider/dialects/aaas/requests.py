"""What a call asks for, out of its arguments. Pure.

Arguments come from the query and from a JSON body, together if need be; the query counts
where both name one. Values of a query are texts and stay so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provider.dialects.aaas.errors import ParameterWrong

Arguments = Mapping[str, Any]

BIND = "bind_arg"
MOST_ID_LETTERS = 128
MOST_ARGUMENT_BYTES = 64 << 10
"""Of one run, as JSON: they are kept with the task and shown whenever it is."""
MOST_ARGUMENT_VALUES = 1000
"""Of one run, nested ones included: in memory an empty list takes twenty times its text."""
LEAST_TTL_S = 5
MOST_INTERVAL_S = 60.0
MOST_LINES = 10_000
_DOTS = 2
_KNOWN = frozenset(
    {
        "module",
        "name",
        "task_id",
        "task_ns",
        "only_parse",
        "rst_format",
        "configs",
        BIND,
        "run_opts",
        "extra",
        "state_hook",
    }
)
_FORMATS = frozenset({"", "dict", "json", "raw"})
_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"", "0", "false", "no", "off", "none"})


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task as its caller calls it; the nameless namespace is empty."""

    task_id: str
    task_ns: str


@dataclass(frozen=True, slots=True)
class Run:
    """A task to be run. ``task_id`` is empty where the caller left it to us. ``run_opts`` is
    what the task's info repeats, ``bound`` the caller's arguments by dotted name."""

    module: str
    name: str
    task_id: str
    task_ns: str
    run_opts: Mapping[str, Any]
    bound: Mapping[str, Any]
    delay_s: float

    @property
    def configs(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run_opts["extra"].get("configs", {})
        return found


@dataclass(frozen=True, slots=True)
class LogQuestion:
    """Which lines of a log. ``lines`` below zero reads backwards from ``offset``; ``tail``
    shows the last ``tail_lines`` instead. ``follow`` waits for more, ``interval_s`` at most.
    """

    task: TaskName
    interval_s: float = 10.0
    lines: int = 10
    offset: int = 0
    tail: bool = False
    tail_lines: int = 0
    follow: bool = False


def described_module(arguments: Arguments) -> str | None:
    """The module whose description is asked for, None for a run. Raises ParameterWrong."""
    if not arguments.get("only_parse"):
        return None
    if _text(arguments, "rst_format") not in _FORMATS:
        raise ParameterWrong("rst_format is not one of json, raw and dict")
    return _required(arguments, "module")


def run(arguments: Arguments, most_delay_s: float) -> Run:
    """Raises ParameterWrong."""
    module, name = _required(arguments, "module"), _required(arguments, "name")
    if arguments.get("state_hook"):
        raise ParameterWrong("state_hook is not served here; ask for task_info instead")
    bind_arg, configs = _object(arguments, BIND), _object(arguments, "configs")
    extra = dict(_object(arguments, "extra"))
    if configs:
        extra["configs"] = configs
    if not isinstance(extra.get("configs", {}), dict):
        raise ParameterWrong("extra.configs is not a JSON object")
    rest = {key: value for key, value in arguments.items() if key not in _KNOWN}
    options = {**_object(arguments, "run_opts"), **rest}
    run_opts = {**options, "extra": extra, BIND: bind_arg}
    if len(json.dumps(run_opts)) > MOST_ARGUMENT_BYTES:
        raise ParameterWrong(f"the arguments are more than {MOST_ARGUMENT_BYTES} bytes of JSON")
    if _values(run_opts) > MOST_ARGUMENT_VALUES:
        raise ParameterWrong(f"the arguments are more than {MOST_ARGUMENT_VALUES} values")
    return Run(
        module=module,
        name=name,
        task_id=_id(arguments, "task_id"),
        task_ns=namespace(arguments),
        run_opts=run_opts,
        bound={**dict(_flat(bind_arg)), **_dotted(options)},
        delay_s=_delay(options.get("delay"), most_delay_s),
    )


def task_name(arguments: Arguments) -> TaskName:
    """Raises ParameterWrong."""
    task_id = _id(arguments, "task_id")
    if not task_id:
        raise _missing("task_id")
    return TaskName(task_id, namespace(arguments))


def namespace(arguments: Arguments) -> str:
    """The namespace; empty where none is named. Raises ParameterWrong."""
    return _id(arguments, "task_ns")


def info_ttl(arguments: Arguments) -> float:
    """For how many seconds a finished task stays, at least :data:`LEAST_TTL_S`. Raises
    ParameterWrong."""
    if arguments.get("task_info_ttl") in (None, ""):
        raise _missing("task_info_ttl")
    return max(LEAST_TTL_S, _number(arguments, "task_info_ttl", 0.0))


def log_question(arguments: Arguments) -> LogQuestion:
    """Raises ParameterWrong."""
    return LogQuestion(
        task=task_name(arguments),
        interval_s=min(MOST_INTERVAL_S, _number(arguments, "pool_interval", 10.0)),
        lines=_whole(arguments, "pool_line", 10, least=-MOST_LINES, most=MOST_LINES),
        offset=_whole(arguments, "log_offset", 0, most=1 << 53),
        tail=_switch(arguments, "tail_mode"),
        tail_lines=_whole(arguments, "tail_line", 0, most=MOST_LINES),
        follow=_switch(arguments, "tail_follow"),
    )


def _missing(name: str) -> ParameterWrong:
    return ParameterWrong(f"Miss param-{name}")


def _required(arguments: Arguments, name: str) -> str:
    text = _text(arguments, name)
    if not text:
        raise _missing(name)
    return text


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ParameterWrong(f"{name} is not a text")
    return value


def _id(arguments: Arguments, name: str) -> str:
    """A name that callers choose. It reaches no path, but its like has elsewhere."""
    text = _text(arguments, name)
    if len(text) > MOST_ID_LETTERS:
        raise ParameterWrong(f"{name} has more than {MOST_ID_LETTERS} letters")
    if not text.isprintable() or text != text.strip() or set(text) & {"/", "\\"}:
        raise ParameterWrong(f"{name} has a separator, a control character or outer spaces")
    if text in {".", ".."}:
        raise ParameterWrong(f"{name} is no name")
    return text


def _object(arguments: Arguments, name: str) -> Mapping[str, Any]:
    value = arguments.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParameterWrong(f"{name} is not an object of the JSON body")
    return value


def _values(document: Any) -> int:
    """How many there are, on all levels."""
    number, level = 0, [document]
    while level:
        level = [child for each in level for child in _children(each)]
        number += len(level)
    return number


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _flat(bind_arg: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """By dotted name, whether they came as ``{task: {method: {argument: value}}}`` or with
    dots already. What lies deeper is an argument's value."""
    for name, value in bind_arg.items():
        path = prefix + name
        if isinstance(value, dict) and value and path.count(".") < _DOTS:
            yield from _flat(value, path + ".")
        else:
            yield path, value


def _dotted(options: Mapping[str, Any]) -> dict[str, Any]:
    start = BIND + "."
    return {name[len(start) :]: value for name, value in options.items() if name.startswith(start)}


def _delay(value: Any, most_s: float) -> float:
    if value is None or value == "":
        return 0.0
    seconds = _as_number(value)
    if seconds is None or not 0 <= seconds <= most_s:
        raise ParameterWrong(f"delay is not a number of seconds from 0 to {most_s:g}")
    return seconds


def _number(arguments: Arguments, name: str, default: float) -> float:
    value = arguments.get(name)
    if value is None or value == "":
        return default
    number = _as_number(value)
    if number is None or number < 0:
        raise ParameterWrong(f"{name} is not a number from 0 on")
    return number


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(arguments: Arguments, name: str, default: int, *, least: int = 0, most: int) -> int:
    value = arguments.get(name)
    if value is None or value == "":
        return default
    number = _as_number(value)
    if number is None or number != int(number) or not least <= number <= most:
        raise ParameterWrong(f"{name} is not a whole number from {least} to {most}")
    return int(number)


def _switch(arguments: Arguments, name: str) -> bool:
    value = str(arguments.get(name) if arguments.get(name) is not None else "").lower()
    if value not in _YES | _NO:
        raise ParameterWrong(f"{name} is neither true nor false")
    return value in _YES
