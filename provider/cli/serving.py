"""``serve`` and ``operate``: the provider itself, whole or in parts."""

from __future__ import annotations

import typer

from compute.errors import ComputeError
from provider.cli.output import EXIT_USAGE, leave
from provider.errors import SettingsInvalid
from provider.memory import imports_kept


def serve() -> None:
    """Serve until told to end. A mistake in the configuration ends with its text."""
    with imports_kept():
        from provider import serving
        from provider.settings import Settings

    try:
        code = serving.serve(Settings.from_environ())
    except (SettingsInvalid, ComputeError) as error:
        leave(error.public, EXIT_USAGE)
    raise typer.Exit(code)


def operate() -> None:
    """Operate jobs until told to end, beside `serve` processes that share DATABASE_URL
    (PostgreSQL), DATA_DIR and ENVIRONMENTS_FILE. Answers no requests itself."""
    with imports_kept():
        from provider import operating
        from provider.settings import Settings

    try:
        code = operating.operate(Settings.from_environ())
    except (SettingsInvalid, ComputeError) as error:
        leave(error.public, EXIT_USAGE)
    raise typer.Exit(code)
