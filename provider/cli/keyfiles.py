"""``key new`` and ``key show``."""

from __future__ import annotations

from pathlib import Path

from provider.cli.output import EXIT_FAILED, EXIT_USAGE, leave, print_json, print_line
from provider.errors import SettingsInvalid
from provider.keys import ProviderKey


def new(path: Path, *, as_json: bool) -> None:
    key = ProviderKey.generate()
    try:
        key.save(path)
    except FileExistsError:
        leave(f"{path} exists already; keys are never overwritten.", EXIT_FAILED)
    except OSError as error:
        leave(f"{path} cannot be written: {error.strerror}.", EXIT_FAILED)
    _tell(key, path, as_json=as_json)


def show(path: Path, *, as_json: bool) -> None:
    try:
        key = ProviderKey.from_file(path)
    except SettingsInvalid as error:
        leave(error.public, EXIT_USAGE)
    _tell(key, path, as_json=as_json)


def _tell(key: ProviderKey, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"address": key.address, "file": str(path)})
    else:
        print_line(key.address)
