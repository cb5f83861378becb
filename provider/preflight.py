"""What must be there before the service starts: folders, and the rights to clean up.

Told before anything is opened, all at once, each with variable and fix; at night a service
that does not start is worth more than one that fails each job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from compute.vault import is_in_memory
from provider.errors import SettingsInvalid
from provider.settings import Settings

_DAC_OVERRIDE = 1 << 1
"""CAP_DAC_OVERRIDE (linux/capability.h): to remove what another user has written."""


def check(settings: Settings) -> None:
    """Make DATA_DIR private. Raises SettingsInvalid."""
    mistakes = [
        *_roles(settings),
        *_folders(settings),
        *_memory(settings.secrets_dir),
        *_private(settings.data_dir),
        *_rights(effective_rights()),
    ]
    if mistakes:
        raise SettingsInvalid("\n".join(mistakes))


def _roles(settings: Settings) -> Iterator[str]:
    if not settings.operate and not settings.database_is_shared:
        yield (
            "OPERATE: nobody else can operate the jobs of a SQLite file; write true, or name a"
            " PostgreSQL database in DATABASE_URL and run `ocean-compute operate` beside this"
        )


def _folders(settings: Settings) -> Iterator[str]:
    named = {"ASSETS_DIR": settings.assets_dir, "FILES_DIR": settings.files_dir}
    for variable, folder in named.items():
        if folder is not None and not folder.is_dir():
            yield f"{variable}: there is no folder {folder}; make it or name another"


def _memory(secrets_dir: Path | None) -> Iterator[str]:
    """Where secrets of jobs are shown; what is on a disk would outlive them."""
    if secrets_dir is None:
        return
    if not (secrets_dir.is_dir() and os.access(secrets_dir, os.W_OK | os.X_OK)):
        yield (
            f"SECRETS_DIR: there is no folder {secrets_dir} that the service may write to;"
            " make it or name another in memory, such as /dev/shm"
        )
    elif not is_in_memory(secrets_dir):
        yield f"SECRETS_DIR: {secrets_dir} is not in memory; name a folder on a tmpfs"


def _private(data_dir: Path) -> Iterator[str]:
    """Inputs, results and consumers' code lie there: nobody else's business."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        data_dir.chmod(0o700)
    except OSError as error:
        yield (
            f"DATA_DIR: {data_dir} cannot be made the service's own ({error.strerror});"
            " name a folder that belongs to the service's user"
        )


def _rights(effective: int | None) -> Iterator[str]:
    if os.geteuid() == 0 and effective is not None and not effective & _DAC_OVERRIDE:
        yield (
            "the service runs as root without root's capabilities and could not remove what"
            " algorithms write; run it as an ordinary user, or as root with all capabilities"
        )


def effective_rights() -> int | None:
    """The process's effective capabilities as a bit set, None where that cannot be told."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    lines = (line for line in status.splitlines() if line.startswith("CapEff:"))
    return next((int(line.split()[1], 16) for line in lines), None)
