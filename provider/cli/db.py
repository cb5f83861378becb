"""``db``: the database of the service, without the service."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from provider.cli.options import Json
from provider.cli.output import EXIT_FAILED, EXIT_USAGE, leave, print_json, print_line

T = TypeVar("T")

db_app = typer.Typer(
    help="Upgrade, back up and restore the service's database; its settings come from the"
    " environment, as those of 'serve' do.",
    no_args_is_help=True,
)


@db_app.callback()
def _db() -> None:
    """Upgrade, back up and restore the service's database."""


@db_app.command()
def upgrade(as_json: Json = False) -> None:
    """Bring the database's schema up to date, as each start of the service does."""
    from compute.store import backup
    from provider.migrations import VERSIONS

    revisions = sorted(_run(backup.upgrade(_url(), [VERSIONS])))
    if as_json:
        print_json({"revisions": revisions})
        return
    print_line(f"The database is at {', '.join(revisions)}.")


@db_app.command("backup")
def back_up(
    file: Annotated[Path, typer.Argument(help="The file to make; never overwritten.")],
    as_json: Json = False,
) -> None:
    """Write all that the database holds into a file that only you may read. The service may
    run meanwhile. DATA_DIR/results is to be copied apart."""
    from compute.store import backup
    from provider.migrations import VERSIONS

    rows = _run(backup.backup(_url(), [VERSIONS], file))
    if as_json:
        print_json({"file": str(file), "rows": rows, "bytes": file.stat().st_size})
        return
    print_line(f"{file}: {rows} rows, {file.stat().st_size} bytes.")


@db_app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file made by 'db backup'.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the database holds now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fill the database from a backup: all of it or, on any error, nothing. No service may have
    it open."""
    from compute.store import backup
    from provider.migrations import VERSIONS

    header, rows = _run(backup.restore(_url(), [VERSIONS], file, replace=force))
    if as_json:
        print_json({"madeAt": header.made_at, "rows": rows})
        return
    print_line(f"Restored {rows} rows as of {header.made_at}.")


def _url() -> str:
    from provider.errors import SettingsInvalid
    from provider.settings import Settings

    try:
        return Settings.from_environ().database_url
    except SettingsInvalid as error:
        leave(error.public, EXIT_USAGE)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Its result; what goes wrong ends the command with a text."""
    from compute.errors import ComputeError, StoreUnavailable

    try:
        return asyncio.run(work)
    except StoreUnavailable as error:
        leave(error.public, EXIT_USAGE)
    except ComputeError as error:
        leave(error.public, EXIT_FAILED)
    except OSError as error:
        leave(f"{error.filename or 'The file'}: {error.strerror or error}.", EXIT_FAILED)
