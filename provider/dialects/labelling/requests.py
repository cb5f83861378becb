"""The bodies of the labelling API, checked; the names in them are the wire's.

A body that is not as it should be is told as ``detail``, a list of place, sentence and kind
for each mistake. No sentence repeats a value: one of them is the password of a database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

from provider.dialects.labelling import patterns
from provider.dialects.labelling.settings import DEFAULT_QUEUE, LabellingSettings
from provider.errors import ProviderError
from provider.openapi.shapes import described

LONGEST_COUNTDOWN_S = 24 * 3600
MOST_DUMPED = 100
ID_LENGTH = 32

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_ID = re.compile(r"[0-9a-f]{32}")
_MOST_MISTAKES = 50
_LONGEST_PLACE = 100


class BodyInvalid(ProviderError):
    """The body fails validation; ``detail`` says where and how."""

    status = 422

    def __init__(self, detail: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("The body fails validation.")
        self.detail = list(detail)[:_MOST_MISTAKES]


class Refused(ProviderError):
    """A rule says no. ``code`` is the answer's ``error_code``."""

    def __init__(self, code: int, public: str) -> None:
        super().__init__(public)
        self.code = code


def _iso_date(value: object) -> object:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError("must be a date: YYYY-MM-DD")
    return date.fromisoformat(value)


def _digits_too(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) else value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must be the name or the address of a host")
    return value


class _Body(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, hide_input_in_errors=True, json_schema_extra=described
    )


_AnyBody = TypeVar("_AnyBody", bound=_Body)


class MySqlSite(_Body):
    """A database server, and who we are there."""

    model_config = ConfigDict(extra="forbid")

    drivername: Literal["mysql", "mysql+pymysql"] = "mysql"
    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, BeforeValidator(_digits_too), Field(ge=1, le=65535)] = 3306
    user: Annotated[str, Field(min_length=1, max_length=128, repr=False)]
    password: Annotated[str, Field(max_length=1024, repr=False)]
    db: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}$")]
    charset: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$")] = "utf8mb4"


class SqliteSite(_Body):
    """A database that the operator offers as a file."""

    model_config = ConfigDict(extra="forbid")

    drivername: Literal["sqlite"]
    db: Annotated[str, Field(min_length=1, max_length=64)]


def _kind(value: Any) -> str:
    found = value.get("drivername") if isinstance(value, dict) else getattr(value, "drivername", "")
    return "sqlite" if found == "sqlite" else "mysql"


_KINDS = frozenset({"sqlite", "mysql"})

Site = Annotated[
    Annotated[MySqlSite, Tag("mysql")] | Annotated[SqliteSite, Tag("sqlite")], Discriminator(_kind)
]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}$")]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]


class CreateBody(_Body):
    """What to label: rows of ``INPUT_TABLE`` from START_TIME on and before END_TIME."""

    MODEL_TYPE: Literal["keyword_model", "rule_model", "regex_model"] = "keyword_model"
    PREDICT_TYPE: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$", validate_default=True)] = (
        "author_name"
    )
    """What is looked at: a column, or `author_name`."""
    START_TIME: IsoDate
    END_TIME: IsoDate
    PATTERN: dict[str, Any] = Field(repr=False)
    """Labels, each with what it is given for: words, rules or expressions."""
    INPUT_SCHEMA: Identifier
    """The database that the table is in."""
    INPUT_TABLE: Identifier
    OUTPUT_SCHEMA: Identifier
    """The database that result tables go to."""
    COUNTDOWN: Annotated[int, Field(ge=0, le=LONGEST_COUNTDOWN_S)] = 5
    """Seconds to wait before the start."""
    QUEUE: Annotated[str, Field(min_length=1, max_length=64)] = DEFAULT_QUEUE
    """A queue that the operator has set up."""
    SITE_CONFIG: Annotated[Site, Field(repr=False)]
    """Where the databases are, and who we are there. Never shown again."""

    @field_validator("PREDICT_TYPE")
    @classmethod
    def _as_stored(cls, name: str) -> str:
        return "author" if name == "author_name" else name

    @property
    def date_range(self) -> str:
        return f"{self.START_TIME} - {self.END_TIME}"

    def about(self) -> dict[str, Any]:
        """What is kept with the task and shown; never the site."""
        return {
            "model_type": self.MODEL_TYPE,
            "predict_type": self.PREDICT_TYPE,
            "start_time": str(self.START_TIME),
            "end_time": str(self.END_TIME),
            "target_schema": self.INPUT_SCHEMA,
            "target_table": self.INPUT_TABLE,
            "output_schema": self.OUTPUT_SCHEMA,
            "countdown": self.COUNTDOWN,
            "queue": self.QUEUE,
            "date_range": self.date_range,
        }


class AbortBody(_Body):
    TASK_ID: Annotated[str, Field(max_length=1024)]


class DumpBody(_Body):
    """Clients write the name in either case."""

    TASK_IDS: list[Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=list, max_length=MOST_DUMPED
    )


def create_body(body: Mapping[str, Any]) -> CreateBody:
    """A checked request to label. Takes a while, since it compiles expressions. Raises
    BodyInvalid, and Refused for a range of dates that is none."""
    call = _read(CreateBody, body)
    found = [
        _mistake(("PATTERN", *fault.place), fault.text)
        for fault in patterns.faults(call.MODEL_TYPE, call.PATTERN)
    ]
    if found:
        raise BodyInvalid(found)
    if call.START_TIME >= call.END_TIME:
        raise Refused(400, "START_TIME must be before END_TIME")
    return call


def abort_body(body: Mapping[str, Any]) -> str:
    """The id of the task to abort. Raises BodyInvalid, Refused."""
    return whole_id(_read(AbortBody, body).TASK_ID)


def is_abort(body: Mapping[str, Any]) -> bool:
    """True for the body of an abort that was sent where tasks are created."""
    return set(body) == {"TASK_ID"}


def dump_body(body: Mapping[str, Any]) -> list[str]:
    """Which tasks. Raises BodyInvalid, Refused."""
    named = body if "TASK_IDS" in body else {"TASK_IDS": body.get("task_ids") or []}
    ids = _read(DumpBody, named).TASK_IDS
    if not ids:
        raise Refused(404, "TASK_IDS names no task")
    return list(dict.fromkeys(ids))


def is_id(text: str) -> bool:
    """True for what an id may be; anything else is not looked for."""
    return _ID.fullmatch(text) is not None


def whole_id(task_id: str) -> str:
    """The id, if it is as long as one. Raises Refused."""
    if len(task_id) != ID_LENGTH:
        raise Refused(400, f"a task's id has {ID_LENGTH} characters, this one {len(task_id)}")
    return task_id


def require_reachable(call: CreateBody, settings: LabellingSettings) -> None:
    """Raise Refused for a site that the operator has not listed. Repeats nothing of it."""
    site = call.SITE_CONFIG
    if isinstance(site, SqliteSite):
        if site.db not in settings.files:
            raise Refused(400, "SITE_CONFIG.db: no database of this name is offered here")
    elif not settings.admits_site(site.host, site.port):
        raise Refused(
            400,
            "SITE_CONFIG.host: tasks may not reach this database; its host and port have to be"
            " among the sites that the operator allows",
        )


def _read(kind: type[_AnyBody], body: Mapping[str, Any]) -> _AnyBody:
    try:
        return kind.model_validate(dict(body))
    except ValidationError as error:
        listed = error.errors(include_url=False, include_context=False, include_input=False)
        raise BodyInvalid(
            [_told(each["loc"], each["msg"], each["type"]) for each in listed]
        ) from None


def _told(place: tuple[int | str, ...], text: str, kind: str) -> dict[str, Any]:
    if place[:1] == ("SITE_CONFIG",) and place[1:2] and place[1] in _KINDS:
        place = (place[0], *place[2:])
    return _mistake(place, text.removeprefix("Value error, "), kind)


def _mistake(place: tuple[int | str, ...], text: str, kind: str = "value_error") -> dict[str, Any]:
    shown = [part[:_LONGEST_PLACE] if isinstance(part, str) else part for part in place]
    return {"loc": ["body", *shown], "msg": text, "type": kind}
