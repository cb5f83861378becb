"""The registry: rows and contents together.

For one that is added, first the content, then the row; for one that is removed, the other way
round. So each row that is ready has its content, whenever the power goes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from compute.store.base import MISSED, Action, Database, T, Work, nothing
from provider.auditing.asking import asking
from provider.auditing.trail import Trail
from provider.errors import ProviderError
from provider.registry import store
from provider.registry.content import ContentFiles
from provider.registry.errors import (
    ContentUnavailable,
    ItemExists,
    ItemPending,
    ItemUnusable,
)
from provider.registry.models import Content, Item, ItemState, Kind

log = logging.getLogger(__name__)

OTHERS_S = 3600.0
"""How old a content without a row is before it is no other process's that goes on."""


class Registry:
    """Of all spaces. ``folder`` is where the contents are, in the service's data folder.
    ``others_s`` is how old a content without a row must be to be no other process's."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        trail: Trail | None = None,
        others_s: float = OTHERS_S,
    ) -> None:
        self._others_s = others_s
        self._trail = trail
        self._database = database
        self._files = ContentFiles(folder)

    async def __aenter__(self) -> Self:
        """Removes contents that no row is about: what a crash has left. Other processes may
        be about to write the row of what they have just put there."""
        known = await self._database.read(store.content_names)
        old_s = self._others_s if self._database.shared else 0.0
        for name in await asyncio.to_thread(self._files.open, known, old_s=old_s):
            log.info("registry_swept content=%s", name)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing has to be ended."""

    async def add(self, item: Item, source: Path | None = None) -> None:
        """Keep a new item; ``source``, on disk already, is its content, and may go away then.

        Raises ItemExists, UnknownItem for the pipeline, ContentUnavailable.
        """
        if source is not None:
            # The content of another item, which may be on its way, must not be taken for ours.
            await self.require_free(item.uid)
            await self._take_in(item, source)
        try:
            await self._record("registry_added", item.kind, item.uid, store.add(item))
        except ProviderError:
            if source is not None:
                await asyncio.to_thread(self._files.remove, item)
            raise
        log.info(
            "registry_added kind=%s uid=%s owner=%s pipeline=%s",
            item.kind.value,
            item.uid,
            item.owner,
            item.pipeline_uid,
        )

    async def require_free(self, uid: str) -> None:
        """Raises ItemExists."""
        if not await self._database.read(store.is_free(uid)):
            raise ItemExists(uid)

    async def get(self, space: str, kind: Kind, uid: str, *, field: str = "uid") -> Item:
        """Raises UnknownItem."""
        return await self._database.read(store.get(space, kind, uid, field=field))

    async def ready(self, space: str, kind: Kind, uid: str, *, field: str = "uid") -> Item:
        """One that can be used. Raises UnknownItem, ItemPending, ItemUnusable."""
        item = await self.get(space, kind, uid, field=field)
        if item.state is ItemState.PENDING:
            raise ItemPending(item, field=field)
        if item.state is ItemState.FAILED:
            raise ItemUnusable(item, field=field)
        return item

    async def listed(self, space: str, kind: Kind, pipeline_uid: str = "") -> list[Item]:
        """Newest first, at most ``store.MOST_LISTED``."""
        return await self._database.read(store.listed(space, kind, pipeline_uid))

    async def remove(self, space: str, kind: Kind, uid: str) -> Item:
        """Raises UnknownItem, ItemInUse."""
        item = await self._record("registry_removed", kind, uid, store.remove(space, kind, uid))
        await asyncio.to_thread(self._files.remove, item)
        log.info("registry_removed kind=%s uid=%s", kind.value, uid)
        return item

    async def shown(self, item: Item) -> None:
        """For the audit log: the content of an item is about to go out. Durable on return."""
        await self._record("registry_content", item.kind, item.uid, nothing)

    async def _record(self, what: str, kind: Kind, uid: str, work: Work[T]) -> T:
        if self._trail is None:
            return await self._database.write(work)
        asking().about(what, item=kind.value, uid=uid)
        return await self._trail.write(work)

    def path(self, item: Item) -> Path:
        """Where the content of an item is that has one."""
        return self._files.path(item)

    async def build_files(self) -> set[str]:
        """The UIDs of all build files, of whatever space."""
        return (await self._database.read(store.uids_by_kind))[Kind.BUILD_FILE]

    def begin_task(self, output: Item, needed: Mapping[str, Item]) -> Work[None]:
        """See :func:`provider.registry.store.begin_task`."""
        return store.begin_task(output, needed)

    def on_missed(self, listener: Callable[[], None]) -> Action:
        """Call ``listener`` when ends of tasks may not have been heard. Returns what ends
        that."""
        return self._database.hear(lambda text: listener() if text == MISSED else None)

    async def unsettled_tasks(self) -> list[tuple[str, str]]:
        """Space and UID of each task whose outcome is not here yet."""
        return await self._database.read(store.unsettled_tasks)

    async def missing_output(self, task_uid: str) -> Item | None:
        """What a task has not made, or not yet; None if it has, or if that was removed since."""
        return await self._database.read(store.missing_output(task_uid))

    async def missing_outputs(self, space: str, pipeline_uid: str) -> dict[str, Item]:
        """The same for all tasks of a pipeline, by their UIDs."""
        return await self._database.read(store.missing_outputs(space, pipeline_uid))

    async def unsettled_output(self, task_uid: str) -> Item | None:
        """What a task is still to make; None for one that is settled."""
        output = await self.missing_output(task_uid)
        return output if output and output.state is ItemState.PENDING else None

    async def fulfil(self, output: Item, source: Path) -> None:
        """Give the output of a task its content, a copy of ``source``. May be repeated, also
        by several processes at once; the first one stays. Raises OSError."""
        made = await asyncio.to_thread(self._put, output, source)
        content = made.content
        assert content is not None
        if not await self._database.write(store.settle_task(output.task_uid, content)):
            await self._drop_superfluous(made)
            return
        log.info(
            "registry_fulfilled kind=%s uid=%s task=%s bytes=%s",
            output.kind.value,
            output.uid,
            output.task_uid,
            content.size,
        )

    async def give_up(self, output: Item, reason: str) -> None:
        """The output of a task will never have a content. May be repeated."""
        if await self._database.write(store.settle_task(output.task_uid, reason)):
            log.info("registry_given_up uid=%s task=%s", output.uid, output.task_uid)

    async def _drop_superfluous(self, made: Item) -> None:
        """Remove a content that came second, unless the first one is the same file."""
        kept = await self._database.read(store.of_task(made.task_uid))
        if kept is None or kept.content != made.content:
            await asyncio.to_thread(self._files.remove, made)

    def _put(self, output: Item, source: Path) -> Item:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            size = file.tell()
        made = replace(output, content=Content(size, digest.hexdigest()))
        self._files.replace(source, made)
        return made

    async def _take_in(self, item: Item, source: Path) -> None:
        try:
            await asyncio.to_thread(self._files.add, source, item.kind, item.uid)
        except FileExistsError:
            raise ItemExists(item.uid) from None
        except OSError as error:
            log.warning("content_not_kept uid=%s cause=%r", item.uid, error.strerror)
            raise ContentUnavailable from None
