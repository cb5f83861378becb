"""The content of a database as one file, the same for every kind of database.

Compressed JSON lines. The first says what it is and which steps the schema had; each further
one is a row, ``[number of its table, value, …]``; the last has the number of rows and the
SHA-256 of all lines before it, so that a file that was cut off or changed is known. Rows are
read and written in the order in which tables refer to each other, a few at a time. Bytes are
written as ``{"base64": …}``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import (
    Connection,
    MetaData,
    Table,
    create_engine,
    func,
    insert,
    inspect,
    select,
    text,
)

from compute.errors import ComputeError
from compute.store import schema

FORMAT = "ocean-compute backup"
VERSION = 1

_AT_ONCE = 200
_COMPRESSION = 6


class ArchiveInvalid(ComputeError):
    """A file that is no whole backup that can be restored here."""


@dataclass(frozen=True)
class Header:
    """``tables`` has the columns of each table, in the order of the rows' values."""

    made_at: str
    revisions: frozenset[str]
    tables: Mapping[str, Sequence[str]]


def names_of_tables(locations: Sequence[Path]) -> list[str]:
    """All tables that the steps of these folders make; one comes after those it refers to."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            schema.upgrade(connection, locations)
            return [table.name for table in reflected(connection, None)]
    finally:
        engine.dispose()


def dump(connection: Connection, names: Sequence[str], file: BinaryIO) -> int:
    """Write what these tables hold, as far as they are there; returns the number of rows.

    ``connection`` must see one state of the database throughout.
    """
    tables = reflected(connection, names)
    count = 0
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_COMPRESSION, mtime=0) as out:
        lines = _Written(out)
        lines.add(
            {
                "format": FORMAT,
                "version": VERSION,
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "revisions": sorted(schema.current(connection)),
                "tables": {table.name: [column.name for column in table.c] for table in tables},
            }
        )
        for number, table in enumerate(tables):
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(select(table))
            for row in rows:
                lines.add([number, *map(_to_json, row)])
                count += 1
        lines.end(count)
    return count


def load(connection: Connection, locations: Sequence[Path], file: BinaryIO) -> tuple[Header, int]:
    """Make the schema that the backup has, fill it, bring it up to date. Returns what was
    restored and the number of rows.

    In a database without these tables, in the transaction that ``connection`` is in: it must
    be rolled back if this raises. Raises ArchiveInvalid.
    """
    with _complaints(), gzip.GzipFile(fileobj=file, mode="rb") as source:
        lines = _Read(source)
        header = _header(lines.next())
        unknown = header.revisions - schema.revisions(locations)
        if unknown or not header.revisions:
            raise ArchiveInvalid(
                f"The backup has steps unknown here ({', '.join(sorted(unknown)) or 'none'}):"
                " it was made by a newer version of the service; restore it with that version"
            )
        schema.make(connection, locations, header.revisions)
        count = _fill(connection, header, lines)
    schema.upgrade(connection, locations)
    _continue_numbers(connection, header)
    return header, count


def _fill(connection: Connection, header: Header, lines: _Read) -> int:
    by_name = {table.name: table for table in reflected(connection, list(header.tables))}
    for name, columns in header.tables.items():
        if name not in by_name or {column.name for column in by_name[name].c} != set(columns):
            raise ArchiveInvalid(f"The backup's table {name} is not as the service has made it")
    tables = [(by_name[name], columns) for name, columns in header.tables.items()]
    count, held = 0, 0
    rows: list[dict[str, Any]] = []
    for number, *values in lines.rows():
        table, columns = tables[number]
        if rows and (number != held or len(rows) == _AT_ONCE):
            connection.execute(insert(tables[held][0]), rows)
            rows = []
        held = number
        if len(values) != len(columns):
            raise ArchiveInvalid(f"A row of the backup's table {table.name} is damaged")
        rows.append(dict(zip(columns, map(_from_json, values), strict=True)))
        count += 1
    if rows:
        connection.execute(insert(tables[held][0]), rows)
    return count


def _continue_numbers(connection: Connection, header: Header) -> None:
    """Have PostgreSQL number new rows after those that were restored."""
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    numbered = text("SELECT pg_get_serial_sequence(:name, :column)")
    going_on = text("SELECT setval(CAST(CAST(:numbers AS TEXT) AS REGCLASS), :last)")
    for table in reflected(connection, list(header.tables)):
        for column in table.primary_key:
            words = {"name": quote(table.name), "column": column.name}
            numbers = connection.execute(numbered, words).scalar_one()
            if numbers is None:
                continue
            last = connection.execute(select(func.max(column))).scalar()
            if last is not None:
                connection.execute(going_on, {"numbers": numbers, "last": last})


def reflected(connection: Connection, names: Sequence[str] | None) -> list[Table]:
    """Those of these tables that are there, as they are; one comes after those it refers to."""
    present = set(inspect(connection).get_table_names())
    wanted = present if names is None else present & set(names)
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(wanted - {"alembic_version"}))
    return metadata.sorted_tables


class _Written:
    """Lines, and their checksum."""

    def __init__(self, out: gzip.GzipFile) -> None:
        self._out = out
        self._digest = hashlib.sha256()

    def add(self, value: object) -> None:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._digest.update(line)
        self._out.write(line)

    def end(self, rows: int) -> None:
        self.add({"rows": rows, "sha256": self._digest.hexdigest()})


class _Read:
    """Lines one by one, checked against what the last one says."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def next(self) -> Any:
        line = self._source.readline()
        if not line:
            raise ArchiveInvalid("The backup is cut off: its last line is missing")
        value = json.loads(line)
        if not isinstance(value, dict) or "sha256" not in value:
            self._digest.update(line)
        return value

    def rows(self) -> Iterator[list[Any]]:
        count = 0
        while isinstance(row := self.next(), list):
            yield row
            count += 1
        if row.get("rows") != count or row.get("sha256") != self._digest.hexdigest():
            raise ArchiveInvalid("The backup is damaged: its checksum is another one")


def _header(line: Any) -> Header:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise ArchiveInvalid("The file is no backup of this service")
    if line["version"] != VERSION:
        raise ArchiveInvalid(
            f"The backup has the format {line['version']}, and {VERSION} is known here:"
            " restore it with the version of the service that made it"
        )
    return Header(line["made_at"], frozenset(line["revisions"]), line["tables"])


@contextmanager
def _complaints() -> Iterator[None]:
    """Say in one way what is wrong with a file that is not what it should be."""
    try:
        yield
    except (gzip.BadGzipFile, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArchiveInvalid("The file is no backup of this service, or damaged") from error
    except (EOFError, zlib.error) as error:
        raise ArchiveInvalid("The backup is cut off or damaged") from error
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ArchiveInvalid("The backup is damaged") from error


def _to_json(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return value


def _from_json(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value
