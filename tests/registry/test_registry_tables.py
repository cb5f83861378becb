"""The registry's step of the schema makes the tables that the code names."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine

from compute.store import schema
from compute.store.tables import metadata as ground
from provider.assets.index.tables import metadata as index
from provider.auth.tables import metadata as auth
from provider.migrations import VERSIONS
from provider.registry import tables

NAMES = set(tables.metadata.tables)


def statements(path: Path, *, upgraded: bool) -> set[str]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        if upgraded:
            schema.upgrade(connection, [schema.VERSIONS, VERSIONS])
        else:
            tables.metadata.create_all(connection)
        query = "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        found = {
            "".join(sql.split()) for name, sql in connection.exec_driver_sql(query) if name in NAMES
        }
    engine.dispose()
    return found


def test_the_step_leads_to_the_tables(tmp_path: Path) -> None:
    made = statements(tmp_path / "made.db", upgraded=False)
    assert len(made) == len(NAMES) + 4
    assert statements(tmp_path / "upgraded.db", upgraded=True) == made


def test_no_table_of_the_registry_is_named_like_another() -> None:
    assert not any(NAMES & set(other.tables) for other in (ground, auth, index))
