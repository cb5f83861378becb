"""The site's database: the table that is read, the one that is written.

MySQL and MariaDB: both are on the site's server. SQLite: the input is a file that is read
only, the output a file of its own among the outputs, since a published file must not change.
Names come quoted into statements, values only as parameters.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymysql.charset import charset_by_name
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    DateTime,
    Engine,
    Float,
    Index,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    func,
    inspect,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import quoted_name

from .faults import LabellingError
from .task import Task

AUTHOR = "author"
_CONNECT_S, _ANSWER_S = 10, 300
_SHOWN = 500


class Site:
    """Opened for one task."""

    def __init__(self, config: Mapping[str, Any], task: Task, inputs: Path, outputs: Path) -> None:
        self._task = task
        self._sqlite = config.get("drivername") == "sqlite"
        if self._sqlite:
            self._source = _file_engine(inputs / config["db"], read_only=True)
            self._target = _file_engine(outputs / f"{task.output_schema}.sqlite", read_only=False)
        else:
            self._source = self._target = _server_engine(config)

    def __enter__(self) -> Self:
        self.input = self._reflected()
        self.output = self._output_table()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.dispose()
        self._target.dispose()

    def batches(self) -> Iterator[list[Mapping[str, Any]]]:
        """The rows in question by time and id, a bounded number at a time; each batch begins
        after the last row of the one before, so that no cursor is held open meanwhile. Raises
        LabellingError where some would be lost or repeated that way."""
        task, last = self._task, None
        ident, moment = self._column(task.id_column), self._moment()
        self._require_exact(ident, moment)
        names = [task.id_column, task.time_column, *task.columns()]
        names += [AUTHOR] if AUTHOR in self.input.c else []
        columns = [moment if name == task.time_column else self._column(name) for name in names]
        chosen = [column.label(f"c{n}") for n, column in enumerate(columns)]
        while True:
            conditions = [*self._in_range(), self._column(task.predict_type).is_not(None)]
            if last is not None:
                # Rows without an id come first.
                later = ident.is_not(None) if last[0] is None else ident > last[0]
                conditions += [moment >= last[1], or_(moment > last[1], later)]
            query = select(*chosen).where(*conditions).order_by(moment, ident)
            with self._source.connect() as connection:
                found = connection.execute(query.limit(task.batch_rows + 1)).all()
            rows, beyond = found[: task.batch_rows], found[task.batch_rows :]
            if not rows:
                return
            _require_apart(last, rows[0])
            last = (rows[-1][0], rows[-1][1])
            for row in beyond:
                _require_apart(last, row)
            yield [dict(zip(names, row, strict=True)) for row in rows]
            if not beyond:
                return

    def forget(self) -> None:
        """Remove what a former run of the same task has written."""
        if inspect(self._target).has_table(self.output.name, schema=self.output.schema):
            with self._target.begin() as connection:
                mine = self.output.c.task_id == self._task.task_id
                connection.execute(delete(self.output).where(mine))

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All of them or none."""
        if not rows:
            return
        self.output.create(self._target, checkfirst=True)
        with self._target.begin() as connection:
            connection.execute(self.output.insert(), [dict(row) for row in rows])

    def authors(self, until: Any) -> int:
        """How many authors there are in the range, up to a time."""
        if AUTHOR not in self.input.c:
            return 0
        distinct = func.count(func.distinct(self._column(AUTHOR)))
        conditions = [*self._in_range(), self._moment() <= until]
        conditions.append(self._column(self._task.predict_type).is_not(None))
        with self._source.connect() as connection:
            return int(connection.scalar(select(distinct).where(*conditions)) or 0)

    def labelled_authors(self) -> int:
        """How many of them have a label."""
        if AUTHOR not in self.input.c:
            return 0
        distinct = func.count(func.distinct(self.output.c.source_author))
        mine = self.output.c.task_id == self._task.task_id
        with self._target.connect() as connection:
            return int(connection.scalar(select(distinct).where(mine)) or 0)

    def _in_range(self) -> list[ColumnElement[bool]]:
        moment, task = self._moment(), self._task
        bounds: list[Any] = [task.start_time, task.end_time]
        if not self._sqlite:
            bounds = [date.fromisoformat(each) for each in bounds]
        return [moment >= bounds[0], moment < bounds[1]]

    def _require_exact(self, *columns: ColumnElement[Any]) -> None:
        """MySQL does not find floating point numbers again by what it has told of them, so that
        batches would begin with the same rows for ever."""
        if not self._sqlite and any(isinstance(column.type, Float) for column in columns):
            raise LabellingError("ids and times cannot be floating point numbers")

    def _moment(self) -> ColumnElement[Any]:
        """SQLite keeps times as texts, which are in order as they are."""
        column = self._column(self._task.time_column)
        return type_coerce(column, String) if self._sqlite else column

    def _column(self, name: str) -> ColumnElement[Any]:
        if name not in self.input.c:
            raise LabellingError(f"the input table has no column {name}")
        return self.input.c[name]

    def _reflected(self) -> Table:
        schema = None if self._sqlite else quoted_name(self._task.input_schema, True)
        name = quoted_name(self._task.input_table, True)
        try:
            return Table(name, MetaData(), schema=schema, autoload_with=self._source)
        except NoSuchTableError:
            raise LabellingError("the input table does not exist") from None

    def _output_table(self) -> Table:
        return Table(
            quoted_name(self._task.output_table, True),
            MetaData(),
            Column("task_id", String(32), nullable=False),
            Column("source_id", String(190), nullable=False),
            Column("source_author", String(190)),
            Column("post_time", String(32) if self._sqlite else DateTime),
            Column("label", String(100), nullable=False),
            Column("matched", Text),
            Index(None, "task_id", "source_author"),
            schema=None if self._sqlite else quoted_name(self._task.output_schema, True),
            mysql_charset="utf8mb4",
            mysql_collate="utf8mb4_bin",
        )


def _require_apart(last: tuple[Any, Any] | None, row: Sequence[Any]) -> None:
    """Of several rows with one id, those behind a batch's end would be lost."""
    if last is not None and (row[0], row[1]) == last:
        raise LabellingError("ids have to be unique, several rows share one")


def labelled_row(task: Task, row: Mapping[str, Any], label: str, matched: str) -> dict[str, Any]:
    """A row of the output table."""
    author = row.get(AUTHOR)
    return {
        "task_id": task.task_id,
        "source_id": str(row[task.id_column])[:190],
        "source_author": None if author is None else str(author)[:190],
        "post_time": row[task.time_column],
        "label": label,
        "matched": matched[:_SHOWN],
    }


def _server_engine(config: Mapping[str, Any]) -> Engine:
    charset = charset_by_name(config["charset"])
    if charset is None or not _is_encoding(charset.encoding):
        raise LabellingError("the charset is not known here; utf8mb4 holds all texts")
    url = URL.create(
        "mysql+pymysql",
        username=config["user"],
        host=config["host"],
        port=config["port"],
        database=config["db"],
        query={"charset": config["charset"]},
    )
    arguments = {
        # As bytes, since the driver would take a text for Latin-1.
        "password": config["password"].encode(),
        "connect_timeout": _CONNECT_S,
        "read_timeout": _ANSWER_S,
        "write_timeout": _ANSWER_S,
    }
    return create_engine(url, connect_args=arguments, hide_parameters=True, pool_pre_ping=True)


def _is_encoding(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _file_engine(path: Path, *, read_only: bool) -> Engine:
    if read_only and not path.is_file():
        raise LabellingError("the database's file is not there")
    # Nobody else writes it, and no journal can be made beside it.
    how = "mode=ro&immutable=1" if read_only else "mode=rwc"
    url = f"sqlite:///file:{path}?{how}&uri=true"
    return create_engine(url, hide_parameters=True, poolclass=NullPool)
