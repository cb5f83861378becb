"""The steps of the schema end where the tables say, and are made once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, text

from compute.errors import StoreUnavailable
from compute.store import schema, tables
from compute.store.database import open_database
from provider.assets.index import tables as index_tables
from provider.auditing import tables as audit_tables
from provider.auth import tables as provider_tables
from provider.migrations import VERSIONS
from provider.registry import tables as registry_tables
from provider.sharing import tables as sharing_tables

ROOT = Path(__file__).parents[2]
BOTH = (schema.VERSIONS, VERSIONS)

OPEN_AND_TELL = """
import asyncio, sys
from pathlib import Path
from compute.store.database import open_database
from provider.migrations import VERSIONS

async def main():
    database = await open_database(sys.argv[1], migrations=[VERSIONS])
    await database.close()
    print("alembic" in sys.modules)

asyncio.run(main())
"""


def all_tables() -> MetaData:
    """The tables of both floors in one, as they lie in one database."""
    merged = MetaData()
    upper = (
        provider_tables.metadata,
        index_tables.metadata,
        registry_tables.metadata,
        audit_tables.metadata,
        sharing_tables.metadata,
    )
    for floor in (tables.metadata, *upper):
        for table in floor.sorted_tables:
            table.to_metadata(merged)
    return merged


def objects(connection: Connection) -> set[str]:
    """The statements of all tables and indexes, whitespace apart."""
    query = (
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        " AND type != 'trigger'"
    )
    statements = connection.exec_driver_sql(query).scalars()
    return {"".join(statement.split()) for statement in statements}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path}/schema.db")
    yield made
    made.dispose()


@pytest.fixture
def upgraded(engine: Engine) -> Engine:
    with engine.begin() as connection:
        assert schema.upgrade(connection, BOTH)
    return engine


def test_the_steps_lead_to_the_tables(upgraded: Engine) -> None:
    with upgraded.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, all_tables()) == []


def test_the_steps_make_the_very_same_statements(upgraded: Engine) -> None:
    """Conditions of indexes too, which the comparison above does not see."""
    fresh = create_engine("sqlite://")
    all_tables().create_all(fresh)
    with fresh.connect() as expected, upgraded.connect() as found:
        assert objects(found) == objects(expected)
    fresh.dispose()


def test_a_second_upgrade_does_nothing(upgraded: Engine) -> None:
    with upgraded.begin() as connection:
        before = objects(connection)
        assert not schema.upgrade(connection, BOTH)
        assert objects(connection) == before


def test_a_floor_may_come_later(engine: Engine) -> None:
    for locations in ((schema.VERSIONS,), BOTH):
        with engine.begin() as connection:
            assert schema.upgrade(connection, locations)
            assert schema.current(connection) == schema.heads(locations)


@pytest.mark.parametrize("locations", [BOTH, BOTH[:1], BOTH[1:]])
def test_heads_read_from_file_names_are_those_of_alembic(locations: Sequence[Path]) -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS), version_locations=list(locations))
    assert schema.heads(locations) == set(scripts.get_heads())


def test_each_file_is_named_by_its_revision() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS), version_locations=list(BOTH))
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


def test_the_two_floors_are_independent_branches() -> None:
    scripts = ScriptDirectory(str(schema.MIGRATIONS), version_locations=list(BOTH))
    assert len(scripts.get_bases()) == len(scripts.get_heads()) == 2


def test_a_database_of_a_newer_version_is_refused(upgraded: Engine) -> None:
    with upgraded.begin() as connection:
        connection.execute(
            text("UPDATE alembic_version SET version_num='c9999' WHERE version_num LIKE 'c%'")
        )
    with (
        pytest.raises(StoreUnavailable, match=r"c9999.*newer version"),
        upgraded.begin() as connection,
    ):
        schema.upgrade(connection, BOTH)


async def test_a_failing_step_leaves_nothing_and_frees_the_file(tmp_path: Path) -> None:
    steps = tmp_path / "100% of: steps"
    steps.mkdir()
    step = steps / "x0001_broken.py"
    broken = (
        "from alembic import op\n"
        "revision, down_revision = 'x0001', None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (a INTEGER)')\n"
    )
    step.write_text(broken + "    raise LookupError('half-way')\n")
    url = f"sqlite:///{tmp_path}/jobs.db"
    with pytest.raises(LookupError, match="half-way"):
        await open_database(url, migrations=[steps])
    step.write_text(broken)
    opened = await open_database(url, migrations=[steps])
    assert await opened.read(schema.current) == schema.heads([schema.VERSIONS, steps])
    await opened.close()


async def test_upgrading_prints_nothing_and_leaves_logging_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    own = logging.getLogger("compute.store.writer")
    await (await open_database(f"sqlite:///{tmp_path}/a.db", migrations=[VERSIONS])).close()
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert not own.disabled


def test_alembic_is_imported_only_for_an_upgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    told = [
        subprocess.run(
            [sys.executable, "-c", OPEN_AND_TELL, url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert told == ["True", "False"]


def test_a_server_s_driver_is_imported_only_for_a_server(tmp_path: Path) -> None:
    """It costs start-up time and memory."""
    words = OPEN_AND_TELL.replace('"alembic" in sys.modules', '"asyncpg" in sys.modules')
    told = subprocess.run(
        [sys.executable, "-c", words, f"sqlite:///{tmp_path}/a.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert told == "False"
