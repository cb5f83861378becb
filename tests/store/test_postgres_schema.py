"""The steps of the schema on PostgreSQL, and what its planner makes of the statements."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from job_factory import MakeJob
from sqlalchemy import Connection, inspect
from test_schema import BOTH, all_tables

from compute.store import schema
from compute.store.jobs import JobStore
from compute.store.postgres import PostgresDatabase
from compute.store.postgres_writer import WRITERS


def differences(connection: Connection) -> list[object]:
    """Between the steps and the tables, apart from what belongs to this kind alone."""
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "include_object": lambda _object, name, *_: name != WRITERS,
        },
    )
    return list(compare_metadata(context, all_tables()))


def conditions(connection: Connection) -> set[str]:
    """Indexes that hold some of the rows only."""
    found = inspect(connection)
    return {
        str(index["name"])
        for table in found.get_table_names()
        for index in found.get_indexes(table)
        if index["dialect_options"].get("postgresql_where")
    }


async def test_the_steps_lead_to_the_tables(empty_postgres_url: str) -> None:
    database = await PostgresDatabase.open(empty_postgres_url, BOTH)
    assert await database.read(differences) == []
    expected = {
        index.name
        for table in all_tables().tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert await database.read(conditions) == expected
    await database.close()


async def test_a_second_start_changes_nothing(postgres_url: str) -> None:
    for _ in range(2):
        database = await PostgresDatabase.open(postgres_url, BOTH)
        assert await database.read(schema.current) == schema.heads(BOTH)
        await database.close()


async def test_namespaces_sort_by_code_points_whatever_the_language(
    postgres_url: str, make_job: MakeJob
) -> None:
    """The tests' server sorts as people do: letters before case, marks hardly at all."""
    database = await PostgresDatabase.open(postgres_url, BOTH)
    store = JobStore(database)
    names = ["lab-b", "lab/a", "Lab/a", "lab/B", "lab_c", "lab", "läb/a", "lab/a b"]
    for name in names:
        await store.insert(make_job(namespace=name, name="job"), queue_limit=100)
    assert await store.namespaces("") == sorted(names)
    assert await store.namespaces("lab/") == ["lab/B", "lab/a", "lab/a b"]
    await database.close()
