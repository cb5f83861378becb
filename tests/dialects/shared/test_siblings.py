"""The configured dialects: mounted with their doors, told in the log, opened and closed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from kit_server import ALICE, HASHED, TinySettings, application, enveloped, request, sent, serving

from provider.dialects import siblings
from provider.dialects.shared.configured import KINDS, Dialects
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.dialects.siblings import SIBLINGS, Sibling, add_routes, open_siblings
from provider.jobs import Jobs
from provider.keys import ProviderKey
from provider.sharing.leases import Leases

GREETINGS = web.AppKey("greetings", dict[str, str])
HAPPENED = web.AppKey("happened", list[str])


class Greeter:
    """A dialect with one call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def add_routes(self, app: web.Application, section: TinySettings, door: Door) -> None:
        async def greet(request: web.Request, key: str) -> web.Response:
            return web.Response(text=f"{request.app[GREETINGS][self._name]} {key}")

        route = Route("GET", f"/{self._name}", greet)
        mount(app, prefix=section.mount, door=door, routes=[route], render=enveloped)

    async def open(
        self,
        app: web.Application,
        jobs: Jobs,
        section: TinySettings,
        around: SiblingSurroundings,
        stack: AsyncExitStack,
    ) -> None:
        assert jobs is NO_JOBS
        assert not list(around.uploads.iterdir()), "swept before anything is taken in"
        await stack.enter_async_context(self._life(app[HAPPENED]))
        app[GREETINGS][self._name] = section.greeting

    @asynccontextmanager
    async def _life(self, happened: list[str]) -> AsyncIterator[None]:
        happened.append(f"{self._name} opened")
        yield
        happened.append(f"{self._name} closed")


NO_JOBS = cast(Jobs, object())
GREETERS: Mapping[str, Sibling] = {name: Greeter(name) for name in KINDS}


def dialects(**sections: TinySettings) -> Dialects:
    return Dialects(**cast(Any, sections))


def around(folder: Path) -> SiblingSurroundings:
    database = cast(Any, SimpleNamespace(shared=False))
    return SiblingSurroundings(
        database=database,
        uploads=folder / "uploads",
        data_dir=folder,
        key=ProviderKey.generate(),
        now=lambda: 0.0,
        leases=Leases(database, now=lambda: 0.0),
    )


def service(folder: Path, configured: Dialects) -> web.Application:
    """An app with dialects, put together as the service does it."""
    app = application()
    add_routes(app, configured, GREETERS)
    app[HAPPENED], app[GREETINGS] = [], {}

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await open_siblings(app, configured, NO_JOBS, around(folder), stack, GREETERS)
            yield

    app.cleanup_ctx.append(parts)
    return app


async def test_what_is_configured_is_served_at_its_mount_through_its_door(tmp_path: Path) -> None:
    configured = dialects(
        gbuilder=TinySettings(environment="lab", mount="/", greeting="hello"),
        aaas=TinySettings(environment="lab", keys=HASHED, greeting="good day"),
    )
    async with serving(service(tmp_path, configured)) as port:
        assert (await sent(port, request("/gbuilder"))).body == b"hello "
        assert (await sent(port, request("/tiny/aaas"))).status == 401
        keyed = request("/tiny/aaas", {"Authorization": f"Bearer {ALICE}"})
        assert (await sent(port, keyed)).body == b"good day alice"
        assert (await sent(port, request("/labelling"))).status == 404
        assert (await sent(port, request("/gbuilder", {"Via": "1.1 proxy"}))).status == 403


async def test_they_end_in_reverse_order(tmp_path: Path) -> None:
    section = TinySettings(environment="lab", mount="/")
    app = service(tmp_path, dialects(labelling=section, gbuilder=section, aaas=section))
    async with serving(app):
        opened = ["gbuilder opened", "labelling opened", "aaas opened"]
        assert app[HAPPENED] == opened
    assert app[HAPPENED][3:] == ["aaas closed", "labelling closed", "gbuilder closed"]


async def test_what_a_crash_left_of_uploads_is_gone_before_anything_opens(tmp_path: Path) -> None:
    left = tmp_path / "uploads" / "upload-half"
    left.parent.mkdir()
    left.write_bytes(b"half")
    async with serving(service(tmp_path, dialects(aaas=TinySettings(environment="lab")))):
        assert not left.exists()


async def test_without_dialects_nothing_is_made(tmp_path: Path) -> None:
    async with serving(service(tmp_path, dialects())):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "line", "level"),
    [
        (TinySettings(environment="lab"), "mount=/tiny keys=0 reach=loopback", logging.INFO),
        (
            TinySettings(environment="lab", keys=HASHED, open=True),
            "mount=/tiny keys=2 reach=keys",
            logging.INFO,
        ),
        (
            TinySettings(environment="lab", open=True, mount="/"),
            "mount=/ keys=0 reach=everyone",
            logging.WARNING,
        ),
    ],
)
def test_the_log_says_where_each_is_and_whom_it_serves(
    section: TinySettings, line: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, siblings.__name__)
    add_routes(application(), dialects(gbuilder=section), GREETERS)
    [record] = caplog.records
    assert record.getMessage() == f"dialect_mounted dialect=gbuilder {line}"
    assert record.levelno == level


def test_each_kind_of_section_has_its_sibling() -> None:
    assert list(SIBLINGS) == list(KINDS)
