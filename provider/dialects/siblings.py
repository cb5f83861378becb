"""The dialects that the operator's configuration asks for: mounted, and brought to life.

A dialect's package is imported only when it is served.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Protocol

from aiohttp import web

from provider.apikeys import KeyRing
from provider.dialects.shared import forms
from provider.dialects.shared.configured import KINDS, Dialects
from provider.dialects.shared.door import Door
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.jobs import Jobs
from provider.sharing.folders import own_folder

log = logging.getLogger(__name__)


class Sibling(Protocol):
    """One dialect. ``section`` is of its own model, and so is not named here."""

    def add_routes(self, app: web.Application, section: Any, door: Door) -> None:
        """Register its routes, before the application starts."""

    async def open(
        self,
        app: web.Application,
        jobs: Jobs,
        section: Any,
        around: SiblingSurroundings,
        stack: AsyncExitStack,
    ) -> None:
        """Bring it to life until the stack ends."""


class _Packaged:
    """A dialect whose package is imported when it is asked for something."""

    def __init__(self, name: str) -> None:
        self._name = name

    def add_routes(self, app: web.Application, section: Any, door: Door) -> None:
        self._routes.add_routes(app, section, door)

    async def open(
        self,
        app: web.Application,
        jobs: Jobs,
        section: Any,
        around: SiblingSurroundings,
        stack: AsyncExitStack,
    ) -> None:
        await self._routes.open_api(app, jobs, section, around, stack)

    @property
    def _routes(self) -> Any:
        return importlib.import_module(f"provider.dialects.{self._name}.routes")


SIBLINGS: Mapping[str, Sibling] = {name: _Packaged(name) for name in KINDS}


def add_routes(
    app: web.Application, dialects: Dialects, siblings: Mapping[str, Sibling] = SIBLINGS
) -> None:
    """Mount all that are configured, and say where each is and whom it serves."""
    for name, section in dialects.sections().items():
        door = Door(name, KeyRing(section.keys), section.open)
        siblings[name].add_routes(app, section, door)
        log.log(
            logging.WARNING if door.reach == "everyone" else logging.INFO,
            "dialect_mounted dialect=%s mount=%s keys=%s reach=%s",
            name,
            section.mount,
            len(section.keys),
            door.reach,
        )


async def open_siblings(
    app: web.Application,
    dialects: Dialects,
    jobs: Jobs,
    around: SiblingSurroundings,
    stack: AsyncExitStack,
    siblings: Mapping[str, Sibling] = SIBLINGS,
) -> None:
    """Bring to life all that are configured; they end with the stack, the last one first."""
    sections = dialects.sections()
    if sections:
        folder = stack.enter_context(own_folder(around.uploads, shared=around.shared))
        around = replace(around, uploads=folder)
        await asyncio.to_thread(forms.sweep, around.uploads)
    for name, section in sections.items():
        await siblings[name].open(app, jobs, section, around, stack)
