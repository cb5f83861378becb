"""Bringing a database to the newest schema.

Each floor of the house has its own chain of steps in a folder of its own, and the chains
know nothing of each other: in Alembic's words two branches in one version table. Alembic
is slow to import, so a database that is up to date already is recognised without it: file
names are ``<revision>_<what>.py``, revisions of one folder sort as they follow each other,
and the greatest is that folder's head.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from compute.errors import StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
VERSIONS = MIGRATIONS / "versions"

_version = table("alembic_version", column("version_num"))


def heads(locations: Sequence[Path]) -> set[str]:
    """The newest revision of each folder."""
    return {max(_revisions(location)) for location in locations}


def current(connection: Connection) -> set[str]:
    """The revisions that the database is at; empty for a new one."""
    if not inspect(connection).has_table(_version.name):
        return set()
    return set(connection.execute(select(_version.c.version_num)).scalars())


def upgrade(connection: Connection, locations: Sequence[Path]) -> bool:
    """Bring the schema to the heads of all ``locations``; False when it was there already.

    Runs in the transaction that ``connection`` is in: all steps are made or none. Raises
    StoreUnavailable for a database that a newer version of the service has upgraded.
    """
    present = current(connection)
    if present == heads(locations):
        return False
    known = revisions(locations)
    if not present <= known:
        raise StoreUnavailable(
            f"The database has steps unknown here ({', '.join(sorted(present - known))}): "
            "a newer version of the service has upgraded it; run that version"
        )
    _run_alembic(connection, locations, ["heads"])
    return True


def make(connection: Connection, locations: Sequence[Path], targets: Collection[str]) -> None:
    """Make the schema of an earlier time in an empty database: up to the revisions
    ``targets``, which must be among those of ``locations``."""
    _run_alembic(connection, locations, sorted(targets))


def revisions(locations: Sequence[Path]) -> set[str]:
    """All revisions of all folders."""
    return {revision for location in locations for revision in _revisions(location)}


def _revisions(location: Path) -> set[str]:
    files = location.glob("[!_]*_*.py")
    return {file.name.partition("_")[0] for file in files}


def _run_alembic(connection: Connection, locations: Sequence[Path], targets: Iterable[str]) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    options = {
        "script_location": str(MIGRATIONS),
        "path_separator": "newline",
        "version_locations": "\n".join(str(location) for location in locations),
    }
    for name, value in options.items():
        config.set_main_option(name, value.replace("%", "%%"))
    for target in targets:
        command.upgrade(config, target)
