"""What can be done with the registry, in the order of the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from provider.dialects.pipelines.builds import Builds
from provider.dialects.pipelines.fields import FieldInvalid
from provider.dialects.pipelines.responses import choices
from provider.dialects.shared.forms import UploadedFile
from provider.registry import archives
from provider.registry.models import Content, Item, Kind
from provider.registry.registry import Registry
from provider.turns import Gone, waits

_ZIP = "zip"


class Shelf:
    """``most_expanded_bytes`` bounds what a zip that is handed in would be once unpacked."""

    def __init__(self, registry: Registry, builds: Builds, most_expanded_bytes: int) -> None:
        self._registry = registry
        self._builds = builds
        self._most_expanded_bytes = most_expanded_bytes

    async def add(self, item: Item, file: UploadedFile | None, gone: Gone = waits) -> Item:
        """Keep what was handed in, whole or not at all; a build file with the image made of it,
        which ends when the caller is ``gone``.

        Raises FieldInvalid, UnknownItem, ItemExists, ArchiveRefused, BuildFailed and what a
        disk or an engine that does not answer raises.
        """
        if item.kind is Kind.PIPELINE:
            await self._registry.add(item)
            return item
        if file is None or not file.size:
            raise FieldInvalid("file", "is missing or empty; send the content as a file")
        await self._registry.get(item.space, Kind.PIPELINE, item.pipeline_uid, field="pipeline_uid")
        item = replace(item, content=Content(file.size, file.sha256))
        if item.extension == _ZIP:
            await asyncio.to_thread(archives.check, file.path, most_bytes=self._most_expanded_bytes)
        if item.kind is not Kind.BUILD_FILE:
            await self._registry.add(item, file.path)
            return item
        async with self._builds.built(item, file.path, gone) as built:
            await self._registry.add(built, file.path)
        return built

    async def get(self, space: str, kind: Kind, uid: str) -> Item:
        """Raises UnknownItem."""
        return await self._registry.get(space, kind, uid)

    async def listed(self, space: str, kind: Kind, pipeline_uid: str) -> list[Item]:
        """Those of a pipeline, of all where it is empty. Raises UnknownItem."""
        if pipeline_uid:
            await self._registry.get(space, Kind.PIPELINE, pipeline_uid, field="pipeline_uid")
        return await self._registry.listed(space, kind, pipeline_uid)

    async def content(
        self, space: str, kind: Kind, uid: str, *, look_only: bool
    ) -> tuple[Item, Path]:
        """Of which the audit log is told, unless only its headers are asked for. Raises
        UnknownItem, ItemPending, ItemUnusable, FieldInvalid for a pipeline."""
        item = await self._registry.ready(space, kind, uid)
        if item.content is None:
            raise FieldInvalid("uid", f"a {kind.noun} has no content")
        if not look_only:
            await self._registry.shown(item)
        return item, self._registry.path(item)

    async def remove(self, space: str, kind: Kind, uid: str) -> Item:
        """Raises UnknownItem, ItemInUse."""
        item = await self._registry.remove(space, kind, uid)
        if kind is Kind.BUILD_FILE:
            await self._builds.tidy()
        return item

    async def choices(self, space: str, pipeline_uid: str) -> Mapping[str, Any]:
        """What a run of the pipeline can name. Raises UnknownItem."""
        kinds = (Kind.DATASET, Kind.CONFIG, Kind.BUILD_FILE, Kind.MODEL)
        return choices({kind: await self.listed(space, kind, pipeline_uid) for kind in kinds})
