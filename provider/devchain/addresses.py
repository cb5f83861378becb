"""The address file that the development chain writes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provider import bounded_json

NETWORK = "development"
_MAX_BYTES = 4 << 20


class AddressFileUnusable(Exception):
    """The file exists and is no address file, or cannot be written."""


def write_addresses(path: Path, contracts: Mapping[str, Any]) -> None:
    """Put the contracts in as the network ``development``; other networks stay.

    In one step: a reader sees the old file or the whole new one. Raises
    AddressFileUnusable.
    """
    networks = read_addresses(path) | {NETWORK: dict(contracts)}
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(networks, file, indent=2)
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise AddressFileUnusable(f"{path} cannot be written ({error.strerror})") from None


def read_addresses(path: Path) -> dict[str, Any]:
    """The networks of a file by name, none if there is no file yet.

    Raises AddressFileUnusable, also when there is no folder that the file could be made in.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
        networks = bounded_json.loads(content)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise AddressFileUnusable(
                f"{path} cannot be written: there is no folder {path.parent}"
            ) from None
        return {}
    except OSError as error:
        raise AddressFileUnusable(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        networks = None
    if not isinstance(networks, dict):
        raise AddressFileUnusable(f"{path} exists and is not an address file")
    return networks
