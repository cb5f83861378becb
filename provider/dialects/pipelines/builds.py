"""Build files made into images, where the environment allows it.

One at a time, in all processes together: a build takes the machine's strength, and what is
removed must not be what another build has just made and not yet written down.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from compute.errors import BuildRefused, ComputeError, StoreUnavailable
from provider.dialects.pipelines.registry_requests import is_dockerfile
from provider.errors import ProviderError
from provider.jobs import Jobs
from provider.registry import archives
from provider.registry.errors import ArchiveRefused, ContentUnavailable
from provider.registry.models import Item
from provider.registry.registry import Registry
from provider.sharing.leases import Leases
from provider.turns import Crowd, Crowded, Gone, waits, within

log = logging.getLogger(__name__)

TURN = "builds"
MOST_WAITING = 8
MOST_BUILD_S = 2 * 3600.0
"""More than any environment gives."""

DOCKERFILE = "Dockerfile"
_IGNORED = ".dockerignore"
_PREFIX = "context-"


class BuildFailed(ProviderError):
    """The image is not built; the text ends with what the build printed last."""

    status = 422
    field = "file"

    def __init__(self, refused: BuildRefused) -> None:
        output = f"\n{refused.output}" if refused.output else ""
        super().__init__(f"file: the image is not built: {refused.public}{output}")


class BuildAbandoned(ProviderError):
    """Nobody waits for the image any more, or the service ends."""

    status = 503

    def __init__(self) -> None:
        super().__init__("file: the image is not built, since the service ends; try again.")


class TooManyBuilds(ProviderError):
    """One more would wait too long."""

    status = 429

    def __init__(self) -> None:
        super().__init__("file: too many images are being built; try again in a moment.")


class Builds:
    """``folder`` is for what images are built from."""

    def __init__(
        self,
        jobs: Jobs,
        registry: Registry,
        leases: Leases,
        *,
        environment: str,
        folder: Path,
        most_bytes: int,
    ) -> None:
        self._jobs = jobs
        self._registry = registry
        self._leases = leases
        self._environment = environment
        self._folder = folder
        self._most_bytes = most_bytes
        self._one = asyncio.Lock()
        self._untidy = False
        self._crowd = Crowd(1 + MOST_WAITING)

    async def open(self) -> None:
        """Remove what a crash has left."""
        await asyncio.to_thread(_sweep, self._folder)
        await self.tidy()

    async def tidy(self) -> None:
        """Remove images that no build file is about: now, or after a build that is going on. An
        engine that does not answer is let be, for images cost only disk."""
        self._untidy = True
        if self._one.locked():
            return
        async with self._one:
            try:
                if await self._leases.take(TURN) is None:
                    return
                try:
                    await self._tidy_images()
                finally:
                    await self._leases.give_back(TURN)
            except StoreUnavailable as error:
                log.warning("images_not_tidied cause=%s", error.public)

    @asynccontextmanager
    async def built(self, item: Item, file: Path, gone: Gone = waits) -> AsyncIterator[Item]:
        """The build file with its image, which stays if the body adds it to the registry.

        It is built as long as its caller is not ``gone``: others wait for it. Raises ItemExists,
        ArchiveRefused, BuildFailed, BuildAbandoned, TooManyBuilds, EngineUnavailable.
        """
        try:
            with self._crowd.enter():
                async with self._one, self._leases.hold(TURN):
                    await self._registry.require_free(item.uid)
                    async with self._tidied():
                        yield await self._build(item, file, gone)
        except Crowded:
            raise TooManyBuilds from None

    @asynccontextmanager
    async def _tidied(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self._untidy = True
            raise
        finally:
            # Another process may have left images for the end of this build.
            self._untidy |= self._leases.shared
            await self._tidy_images()

    async def _build(self, item: Item, file: Path, gone: Gone) -> Item:
        context = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=_PREFIX, dir=self._folder))
        try:
            await asyncio.to_thread(_furnish, context, item, file, self._most_bytes)
            async with within(MOST_BUILD_S, gone):
                image = await self._jobs.build_image(self._environment, item.uid, context)
        except BuildRefused as refused:
            raise BuildFailed(refused) from None
        except TimeoutError:
            raise BuildAbandoned from None
        except OSError as error:
            log.warning("build_context_not_made uid=%s cause=%r", item.uid, error.strerror)
            raise ContentUnavailable from None
        finally:
            await asyncio.to_thread(shutil.rmtree, context, ignore_errors=True)
        made = {"image": image.image, "tag": image.tag, "checksum": image.checksum}
        return replace(item, details={**item.details, **made})

    async def _tidy_images(self) -> None:
        try:
            while self._untidy:
                self._untidy = False
                await self._jobs.keep_images(await self._registry.build_files())
        except ComputeError as error:
            log.warning("images_not_tidied cause=%s", error.public)


def _furnish(context: Path, item: Item, file: Path, most_bytes: int) -> None:
    """Blocking. Raises ArchiveRefused, OSError."""
    if is_dockerfile(item):
        shutil.copyfile(file, context / DOCKERFILE)
        return
    archives.unpack(file, context, most_bytes=most_bytes)
    if not (context / DOCKERFILE).is_file():
        raise ArchiveRefused(f"the zip has no {DOCKERFILE} at its root; put one there")
    if (context / _IGNORED).is_dir():
        raise ArchiveRefused(f"the zip has a folder {_IGNORED}, which is to be a file; remove it")


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
