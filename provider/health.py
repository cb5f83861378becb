"""Is everything there that jobs need? Asked often, answered soon, whatever hangs.

A :class:`Look` is one question to one part. However many ask, it is put once at a time and
not again for a moment; whoever waited ``patience_s`` for its answer takes silence for no.
So neither a flood of questions nor a part that hangs costs more than one waiting call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from compute.errors import ComputeError
from provider.errors import ProviderError

log = logging.getLogger(__name__)

T = TypeVar("T")

FRESH_S = 1.0
PATIENCE_S = 2.0


class Look(Generic[T]):
    """``ask`` returns what it saw, or raises. ``good`` may find that not good enough.

    A part that is not ``needed`` leaves the service ready while it is down.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[T]],
        *,
        good: Callable[[T], bool] = lambda _: True,
        needed: bool = True,
        fresh_s: float = FRESH_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.name = name
        self.needed = needed
        self.up = False
        self.value: T | None = None
        self.answered_at: float | None = None
        self._ask = ask
        self._good = good
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._asking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")

    async def look(self) -> bool:
        """True when the part is up. Never raises, and takes at most ``patience_s``."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked_at < self._fresh_s:
            return self.up
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._put(), name=f"look at {self.name}")
        done, _ = await asyncio.wait({self._asking}, timeout=self._patience_s)
        if not done:
            self._found(False, None, "no answer in time")
        return self.up

    async def close(self) -> None:
        """Give up what is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _put(self) -> None:
        try:
            value = await self._ask()
        except (ComputeError, ProviderError) as error:
            self._found(False, None, error.public)
        except OSError as error:
            self._found(False, None, error.strerror or type(error).__name__)
        except Exception:
            log.exception("part_not_seen part=%s", self.name)
            self._found(False, None, "a fault of the service")
        else:
            self.answered_at = time.time()
            self._found(self._good(value), value, "not enough")

    def _found(self, up: bool, value: T | None, cause: str) -> None:
        first = self._looked_at == float("-inf")
        if up and not self.up and not first:
            log.info("part_up part=%s", self.name)
        elif not up and (self.up or first):
            log.warning("part_down part=%s cause=%s", self.name, cause)
        self.up, self.value = up, value
        self._looked_at = asyncio.get_running_loop().time()


class Readiness(NamedTuple):
    """``parts`` by name: up or down."""

    status: Literal["ready", "degraded", "unready", "draining"]
    parts: dict[str, str]

    @property
    def takes_requests(self) -> bool:
        return self.status in {"ready", "degraded"}


class Health:
    """All parts together. ``draining`` is True once the service was told to end."""

    def __init__(self, parts: Sequence[Look[object]], draining: Callable[[], bool]) -> None:
        self.parts = tuple(parts)
        self.draining = draining

    async def ready(self) -> Readiness:
        """Whether requests should be sent here."""
        if not self.draining():
            await self.look()
        parts = {each.name: "up" if each.up else "down" for each in self.parts}
        if self.draining():
            return Readiness("draining", parts)
        if not all(each.up for each in self.parts if each.needed):
            return Readiness("unready", parts)
        return Readiness("ready" if all(each.up for each in self.parts) else "degraded", parts)

    async def look(self) -> None:
        """Look at all parts at once."""
        await asyncio.gather(*(each.look() for each in self.parts))

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self.parts))
