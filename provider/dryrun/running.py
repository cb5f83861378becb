"""One job through the operator's own code: a store in a file, Docker, a bounded output space.

Nothing of it is left behind: not when it ends, not when it is interrupted, and what a killed one
leaves the next one takes away.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compute import layout
from compute.engines.base import Engine, PullPolicy
from compute.engines.docker import DockerEngine
from compute.environments import Environments, MachineSection
from compute.errors import ComputeError, EngineUnavailable, ImageUnavailable
from compute.models import Image, Job, ResultFile
from compute.operator import Operator, operating
from compute.reconciler import Limits
from compute.results import path_of
from compute.space import Space, best_space
from compute.status import Phase
from compute.store.database import open_database
from provider.client.downloads import file_sha256, safe_path
from provider.client.errors import ComputeClientError, DownloadFailedError, plain
from provider.dryrun import room as rooms
from provider.dryrun.inputs import LocalInputs
from provider.dryrun.offered import Price, fitted
from provider.dryrun.plan import ANY_NETWORK, Plan, has_network, specification
from provider.dryrun.report import Report
from provider.dryrun.watching import WatchedEngine, WatchedStore
from provider.receipts.statement import statement

NO_ENGINE = (
    "There is no container engine that answers: a dry run needs Docker, or Podman's socket in"
    " DOCKER_HOST, and leave to use it."
)
LEAST_DISK_BYTES = 128 << 20

TRIES = 2
"""Of what may pass: a person waits for it, and can try again."""


class DryRunFailed(ComputeClientError):
    """It could not be tried here: no engine, no image, no disk."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How it is to be run. ``results`` is a folder for what comes out, ``quota`` how outputs are
    bounded."""

    rooms: Path
    engine: str | None = None
    gpus: bool = True
    results: Path | None = None
    overwrite: bool = False
    quota: Literal["auto", "loop", "watch"] = "auto"


@dataclass(frozen=True, slots=True)
class Screen:
    """Where things are told as they happen: ``moved`` a job's moves with a note, ``printed``
    what the algorithm prints, ``said`` sentences for the person."""

    moved: Callable[[Job, str], None]
    printed: Callable[[bytes], None]
    said: Callable[[str], None]


async def dry_run(
    plan: Plan, wishes: Wishes, screen: Screen, *, prices: Sequence[Price] = (), told: str = ""
) -> Report:
    """Run it to its end, or to where a reviewer would have to decide. Raises
    ComputeClientError."""
    with rooms.taken(wishes.rooms) as room:
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(_cleared(room, wishes))
                return await _in_room(stack, room, plan, wishes, screen, prices, told)
        except EngineUnavailable:
            raise DryRunFailed(NO_ENGINE) from None
        except ComputeError as error:
            raise DryRunFailed(error.public) from None
        except OSError as error:
            raise DryRunFailed(f"{wishes.rooms}: {error.strerror}.") from None


async def _in_room(
    stack: AsyncExitStack,
    room: rooms.Room,
    plan: Plan,
    wishes: Wishes,
    screen: Screen,
    prices: Sequence[Price],
    told: str,
) -> Report:
    engine = WatchedEngine(
        base_url=wishes.engine, operator_id=room.operator_id, shown=screen.printed
    )
    await engine.connect()
    stack.push_async_callback(engine.close)
    plan = await _fitted(plan, engine, room.data_dir, wishes)
    for note in plan.notes:
        screen.said(note)
    spec = specification(plan, await _checksum(plan, engine, screen))
    over = asyncio.Event()
    last: list[Job] = []

    def moved(job: Job, note: str) -> None:
        screen.moved(job, note)
        if job.phase.terminal or job.phase is Phase.HELD:
            last.append(job)
            over.set()

    space = await best_space(room.data_dir, wishes.quota)
    if not space.enforced:
        screen.said(
            "What is written is looked at each second here, where a provider may have the system"
            " bound it: that takes root's rights."
        )
    operator = await stack.enter_async_context(_operator(room, plan, engine, space, moved))
    job = await operator.start(owner=plan.owner, environment=plan.environment.id, spec=spec)
    screen.moved(job, "")
    await over.wait()
    job = last[-1]
    account = await operator.account(job.id)
    results = await asyncio.to_thread(_kept, job, room.data_dir, wishes)
    return Report(
        job=job,
        environment=plan.environment,
        measured=engine.measured,
        results=results,
        prices=prices,
        told=told,
        notes=plan.notes,
        unknown=plan.unknown,
        statement=None if account is None else statement(account),
    )


@asynccontextmanager
async def _cleared(room: rooms.Room, wishes: Wishes) -> AsyncIterator[None]:
    """Nothing is in the room before, and nothing after."""

    async def clear() -> None:
        engine = DockerEngine(base_url=wishes.engine, operator_id=room.operator_id)
        await engine.connect()
        try:
            await rooms.clear(room, engine)
        finally:
            await engine.close()

    await clear()
    try:
        yield
    finally:
        await clear()
        room.data_dir.rmdir()


@asynccontextmanager
async def _operator(
    room: rooms.Room,
    plan: Plan,
    engine: Engine,
    space: Space,
    moved: Callable[[Job, str], None],
) -> AsyncIterator[Operator]:
    database = await open_database(f"sqlite:///{room.data_dir / 'dry-run.db'}")
    try:
        async with operating(
            environments=Environments(
                (plan.environment,), MachineSection(gpu=plan.environment.gpu.count), "dry run"
            ),
            engine=engine,
            store=WatchedStore(database, moved),
            supplier=LocalInputs(plan.datasets, plan.code.file),
            space=space,
            data_dir=room.data_dir,
            limits=Limits(tries=TRIES),
        ) as operator:
            yield operator
    finally:
        await database.close()


async def _fitted(plan: Plan, engine: Engine, folder: Path, wishes: Wishes) -> Plan:
    machine = await engine.machine()
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK_BYTES:
        raise DryRunFailed(f"The disk of {folder} is full: a dry run keeps its outputs there.")
    environment, notes = fitted(plan.environment, machine, free, gpus=wishes.gpus)
    if has_network(plan):
        notes.append(
            "The algorithm has a network, as at the provider: it can send what it reads here"
            " (--no-network runs it without)."
        )
    if has_network(plan) and environment.network not in ANY_NETWORK:
        notes.append(
            f"The network is the engine's usual one here, {plain(environment.network, 64)} at the"
            " provider."
        )
        environment = environment.model_copy(update={"network": "bridge"})
    return plan.fitted(environment, notes)


async def _checksum(plan: Plan, engine: Engine, screen: Screen) -> str:
    """What the image's checksum is, if the person did not say. Raises DryRunFailed."""
    container = plan.code.container
    if container.checksum or not container.image:
        return ""
    image = Image(image=container.image, tag=container.tag)
    if not plan.environment.images.allows(image):
        return "sha256:" + "0" * 64  # the refusal names the image
    try:
        found = await engine.ensure_image(image, PullPolicy.MISSING)
    except ImageUnavailable as error:
        raise DryRunFailed(f"There is no image to run: {error.public}.") from None
    screen.said(
        "A start needs the image's checksum: --checksum with its digest in the registry. On this"
        f" machine its id is {found}."
    )
    return found


def _kept(job: Job, data_dir: Path, wishes: Wishes) -> list[tuple[ResultFile, Path | None]]:
    """The files of the job, copied if that is wished. Raises DownloadFailedError."""
    folders = layout.JobFolders(data_dir, job.id, job.stage)
    held = job.phase is Phase.HELD
    source, files = (folders.held, job.held) if held else (folders.results, job.results)
    if wishes.results is None:
        return [(file, None) for file in files]
    places: dict[Path, ResultFile] = {}
    for file in files:
        path = wishes.results / safe_path(file.filename)
        while path in places:
            path = path.with_name(f"{file.index}-{path.name}")
        places[path] = file
    for path, file in places.items():
        _copy(path_of(source, file), path, file.sha256, overwrite=wishes.overwrite)
    return [(file, path) for path, file in places.items()]


def _copy(source: Path, target: Path, sha256: str, *, overwrite: bool) -> None:
    try:
        if target.exists() and not overwrite and file_sha256(target) != sha256:
            raise DownloadFailedError(
                f"{target} exists already and is another file. Choose another folder, or replace"
                " it (--overwrite)."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise DownloadFailedError(f"{target} cannot be written: {error.strerror}.") from None
