"""``serve``: the provider itself."""

from __future__ import annotations

import typer

from compute.errors import ComputeError
from provider.cli.output import EXIT_USAGE, leave
from provider.errors import SettingsInvalid


def serve() -> None:
    """Serve until told to end. A mistake in the configuration ends with its text."""
    from provider import serving
    from provider.settings import Settings

    try:
        code = serving.serve(Settings.from_environ())
    except (SettingsInvalid, ComputeError) as error:
        leave(error.public, EXIT_USAGE)
    raise typer.Exit(code)
