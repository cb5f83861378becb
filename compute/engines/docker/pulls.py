"""Pulls under way: one for all who want the same image, a few for each registry.

A pull lasts as long as a registry pleases. So it has a thread of its own, none of those
that serve short calls; it shares its registry's places only, so that a dead registry holds
up nobody else's images; and it ends after a while whatever the registry does.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from compute import references
from compute.engines.base import PullPolicy
from compute.engines.docker import images
from compute.engines.docker.calls import Answer, Calls, CutOff, alone
from compute.engines.docker.errors import translated
from compute.errors import EngineUnavailable, ImageUnavailable
from compute.models import Image

PULL_S = 30 * 60.0
"""Longest time for one pull, from when it has its place."""

PULLS_PER_REGISTRY = 4
LEAVE_S = 2.0

_Key = tuple[str, str, PullPolicy]


@dataclass(eq=False, slots=True)
class _Pull:
    answer: Answer
    task: asyncio.Task[str] = field(init=False)
    waiting: int = 0


class Pulls:
    """The pulls of one engine. ``longest_s`` bounds each, ``silence_s`` each pause in one."""

    def __init__(
        self,
        calls: Calls,
        *,
        longest_s: float = PULL_S,
        silence_s: float = images.PULL_SILENCE_S,
    ) -> None:
        self._calls = calls
        self._longest_s = longest_s
        self._silence_s = silence_s
        self._places: dict[str, asyncio.Semaphore] = {}
        self._under_way: dict[_Key, _Pull] = {}

    async def ensure(self, image: Image, policy: PullPolicy) -> str:
        """The image's id after a pull. The pull ends when all who wait for it are cancelled."""
        key = (image.reference, image.checksum, policy)
        pull = self._under_way.get(key) or self._begin(key, image, policy)
        pull.waiting += 1
        try:
            await asyncio.wait({pull.task})
        finally:
            pull.waiting -= 1
            if not pull.waiting:
                pull.task.cancel()
                self._forget(key, pull)
        if pull.task.cancelled():
            raise EngineUnavailable("The pull was interrupted")
        return pull.task.result()

    async def close(self) -> None:
        """Interrupt all pulls; those who wait are told that the engine is unavailable."""
        pulls = list(self._under_way.values())
        for pull in pulls:
            pull.answer.cut()
        if pulls:
            await asyncio.wait([pull.task for pull in pulls], timeout=LEAVE_S)
        for pull in pulls:
            pull.task.cancel()

    def _begin(self, key: _Key, image: Image, policy: PullPolicy) -> _Pull:
        pull = self._under_way[key] = _Pull(Answer())
        pull.task = asyncio.create_task(self._run(image, policy, pull.answer))
        pull.task.add_done_callback(lambda task: self._ended(task, key, pull))
        return pull

    def _ended(self, task: asyncio.Task[str], key: _Key, pull: _Pull) -> None:
        self._forget(key, pull)
        with suppress(asyncio.CancelledError):
            # Nobody may be left to ask for it.
            task.exception()

    def _forget(self, key: _Key, pull: _Pull) -> None:
        if self._under_way.get(key) is pull:
            del self._under_way[key]

    async def _run(self, image: Image, policy: PullPolicy, answer: Answer) -> str:
        host, _ = references.split(image.image)
        places = self._places.setdefault(host, asyncio.Semaphore(PULLS_PER_REGISTRY))
        async with places:
            try:
                async with asyncio.timeout(self._longest_s):
                    return await self._pull(image, policy, answer)
            except CutOff:
                raise EngineUnavailable("The pull was interrupted") from None
            except TimeoutError:
                raise ImageUnavailable(images.not_pulled(image, "it takes too long")) from None

    async def _pull(self, image: Image, policy: PullPolicy, answer: Answer) -> str:
        def work() -> str:
            if answer.is_cut:
                raise CutOff
            with self._calls.fresh() as client, translated():
                known = images.Images(client, silence_s=self._silence_s)
                return images.ensure(known, image, policy, answer)

        return await alone(work, name="docker-pull", answer=answer)
