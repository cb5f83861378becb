"""Images that callers bring as Dockerfiles, where an environment says that they may.

One is built at a time, with what a job of the environment gets. Their names are the caller's,
below ``ocean-compute-build/``; the checksum goes with the name, so that a name alone starts
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection
from pathlib import Path

from compute import dockerfile
from compute.engines.base import BUILT, Engine, ImageBuild, is_built
from compute.environments import Environment, Environments
from compute.errors import BuildRefused, EngineRefused, ImageUnavailable
from compute.models import Image

__all__ = ["BUILT", "Builder", "is_built"]

log = logging.getLogger(__name__)

DOCKERFILE = "Dockerfile"
TAG = "1"
MOST_S = 3600

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class Builder:
    """Builds images on ``engine`` and clears them away."""

    def __init__(self, *, engine: Engine, environments: Environments) -> None:
        self._engine = engine
        self._environments = environments
        self._one = asyncio.Lock()
        self._being_built: str | None = None

    async def build(self, environment_id: str, name: str, context: Path) -> Image:
        """The image of the Dockerfile in the folder ``context``, once those before it are built.

        ``name`` is of a-z, 0-9 and inner hyphens, at most 64; it goes to the newest image built
        under it. Raises UnknownEnvironment, BuildRefused (with the end of the output when it
        came to that), EngineUnavailable.
        """
        environment = self._environments[environment_id]
        if not environment.images.build:
            raise BuildRefused(
                f"Environment {environment_id} builds no images; its operator"
                " may allow that with `images: {build: true}`"
            )
        if not _NAME.fullmatch(name):
            raise BuildRefused("An image's name is 1 to 64 of a-z, 0-9 and inner hyphens")
        images = dockerfile.check(await asyncio.to_thread(_text, context), _allowed_in(environment))
        async with self._one:
            self._being_built = _reference(name)
            try:
                return await self._build(environment, name, context, images)
            finally:
                self._being_built = None

    async def keep(self, names: Collection[str]) -> None:
        """Remove what was built here under other names, but for what is in use or being built.

        Raises EngineUnavailable.
        """
        kept = {_reference(name) for name in names}
        for reference in await self._engine.built():
            if reference in kept or reference == self._being_built:
                continue
            if not reference.startswith(f"{BUILT}/"):
                continue
            try:
                await self._engine.remove_image(reference)
            except EngineRefused as error:
                log.info("build.kept reference=%s reason=%s", reference, error.public)
            else:
                log.info("build.removed reference=%s", reference)

    async def _build(
        self, environment: Environment, name: str, context: Path, images: tuple[Image, ...]
    ) -> Image:
        image = Image(image=f"{BUILT}/{name}", tag=TAG)
        build = ImageBuild(
            reference=image,
            context=context,
            memory_bytes=environment.memory_bytes,
            cpus=environment.cpu,
            timeout_s=min(environment.maxJobDuration, MOST_S),
            disk_bytes=environment.disk_bytes,
            bases=[await self._base(environment, base) for base in images],
        )
        image_id = await self._engine.build(build)
        log.info("build.done reference=%s image=%s", image.reference, image_id)
        return image.model_copy(update={"checksum": image_id})

    async def _base(self, environment: Environment, image: Image) -> str:
        """Fetched here, so that the builder, which knows no policy, finds it."""
        try:
            return await self._engine.ensure_image(image, environment.images.pull)
        except ImageUnavailable as error:
            raise BuildRefused(error.public) from error


def _allowed_in(environment: Environment) -> dockerfile.Allows:
    """What may be built on: what may be run, but for what was built here, and for a checksum
    whose tag the builder would not look at."""
    images = environment.images

    def allows(image: Image) -> bool:
        return not is_built(image) and images.allows(image) and not images.tag_must_match(image)

    return allows


def _reference(name: str) -> str:
    return f"{BUILT}/{name}:{TAG}"


def _text(context: Path) -> str:
    path = context / DOCKERFILE
    if path.is_symlink() or not path.is_file():
        raise BuildRefused(f"There is no file {DOCKERFILE}; put one at the root")
    with path.open("rb") as file:
        return dockerfile.decoded(file.read(dockerfile.MOST_BYTES + 1))
