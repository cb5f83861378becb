"""What crashes may have left on disk, removed when an operator begins."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from compute.cache import ABANDONED_S
from compute.errors import VolumeFailed
from compute.logmarks import LogMarks
from compute.space import Space
from compute.store.jobs import JobStore
from compute.vault import Vault

log = logging.getLogger(__name__)


class Sweeper:
    """Removes folders and output spaces whose job is over or unknown."""

    def __init__(self, *, store: JobStore, space: Space, vault: Vault, data_dir: Path) -> None:
        self._store = store
        self._space = space
        self._vault = vault
        self._data_dir = data_dir
        self._marks = LogMarks(data_dir)

    async def sweep(self, *, alone: bool) -> None:
        """Once, at start. Not ``alone``, only what is old: another process takes files before
        their job is queued."""
        # First, since another process may show the secrets of a job that has just been queued.
        with_secrets = self._vault.jobs()
        unfinished = await self._store.backlog.ids()
        await self._vault.sweep(with_secrets - unfinished)
        for root in list((self._data_dir / "jobs").iterdir()):
            if root.name not in unfinished and (alone or _is_old(root)):
                await self._sweep_job(root)
        await self._sweep_published(unfinished, alone=alone)

    async def _sweep_job(self, root: Path) -> None:
        log.info("folder_swept job=%s", root.name)
        try:
            await self._space.release(root)
            await asyncio.to_thread(_remove_tree, root)
        except (VolumeFailed, OSError) as error:
            log.warning("folder_not_swept job=%s cause=%s", root.name, error)

    async def _sweep_published(self, unfinished: Collection[str], *, alone: bool) -> None:
        """What was to become results, and what was held."""
        published, held = self._data_dir / "results", self._data_dir / "held"
        found = await asyncio.to_thread(
            lambda: [*published.glob("*.partial"), *(held.iterdir() if held.exists() else ())]
        )
        for folder in found:
            known = folder.name.removesuffix(".partial") in unfinished
            if not known and (alone or _is_old(folder)):
                await asyncio.to_thread(_remove_tree, folder)
        for job_id in await asyncio.to_thread(self._marks.marked):
            if job_id not in unfinished and not (published / job_id).exists():
                await asyncio.to_thread(self._marks.forget, job_id)


def _is_old(folder: Path) -> bool:
    """True for what nobody is about to use any more."""
    try:
        return folder.lstat().st_mtime < time.time() - ABANDONED_S
    except FileNotFoundError:
        return False


def _remove_tree(folder: Path) -> None:
    """Remove a folder; one that is not there is removed."""
    if folder.is_symlink() or not folder.exists():
        return
    shutil.rmtree(folder)
