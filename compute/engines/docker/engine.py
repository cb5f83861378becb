"""The engine contract over the Docker API.

Each verb is one function that runs in a thread and asks the engine what is before it
changes anything, so that it may be repeated. What an answer means is decided in
:mod:`compute.engines.docker.errors`; this file decides only what to ask.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from docker.utils import parse_host

from compute.engines.base import (
    GONE,
    JOB_LABEL,
    OPERATOR_LABEL,
    WRONG_TAG,
    ContainerSpec,
    ContainerState,
    Engine,
    ImageBuild,
    LogPiece,
    Machine,
    Observation,
    PullPolicy,
    Usage,
    is_built,
)
from compute.engines.docker import images, logs, options, usage
from compute.engines.docker.builds import Builds
from compute.engines.docker.calls import CALL_S, Answer, Calls, Turns, request
from compute.engines.docker.errors import explanation, public_text, refusal
from compute.engines.docker.events import EventReader
from compute.engines.docker.follow import LogReader, beginning_of
from compute.engines.docker.pulls import Pulls
from compute.errors import EngineRefused, EngineUnavailable, ImageUnavailable
from compute.models import Image

_STATES = {
    "created": ContainerState.CREATED,
    "running": ContainerState.RUNNING,
    "paused": ContainerState.RUNNING,
    "restarting": ContainerState.RUNNING,
    "exited": ContainerState.EXITED,
    "dead": ContainerState.EXITED,
}
REMOVAL_S = 10.0
REMOVAL_PAUSE_S = 0.1


class DockerEngine(Engine):
    """One Docker Engine. ``base_url`` as the SDK takes it (``unix://…``, ``tcp://…``); None
    is the local socket. ``threads`` bounds the calls in flight.

    Raises EngineRefused at once for an address that is none.
    """

    def __init__(self, *, base_url: str | None, operator_id: str, threads: int = 8) -> None:
        try:
            parse_host(base_url)
        except DockerException as error:
            raise EngineRefused("The container engine's address is not valid") from error
        self._operator_id = operator_id
        self._calls = Calls(base_url, threads)
        self._turns = Turns()
        self._pulls = Pulls(self._calls)
        self._builds = Builds(self._calls, operator_id)
        self._readers: set[EventReader | LogReader] = set()
        self._known = images.Known()

    async def connect(self) -> None:
        self._calls.open()

    async def close(self) -> None:
        await self._pulls.close()
        await self._builds.close()
        for reader in list(self._readers):
            await reader.stop()
        await self._calls.close()

    async def ping(self) -> None:
        await self._calls.run(lambda client: client.ping())

    async def machine(self) -> Machine:
        return _machine(await self._calls.run(lambda client: client.info()))

    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        images.check_reference(image)
        if is_built(image):
            policy = PullPolicy.NEVER
        if not (tag_must_match and image.checksum):
            return await self._ensure(image, policy)
        # Only what the tag names is ever pulled, or a checksum could fetch what nobody allowed.
        image_id = await self._ensure(image.by_tag(), policy)
        if image_id != await self._present(image):
            raise ImageUnavailable(WRONG_TAG)
        return image_id

    async def _ensure(self, image: Image, policy: PullPolicy) -> str:
        if policy is PullPolicy.NEVER:
            return await self._calls.run(
                lambda client: images.ensure(self._images(client), image, policy, Answer())
            )
        if policy is PullPolicy.MISSING or image.checksum:
            found = await self._present(image)
            if found is not None:
                return found
        return await self._pulls.ensure(image, policy)

    async def _present(self, image: Image) -> str | None:
        return await self._calls.run(lambda client: self._images(client).present(image))

    def _images(self, client: APIClient) -> images.Images:
        return images.Images(client, self._known)

    def digests(self, image_id: str) -> Sequence[str]:
        facts = self._known.facts(image_id)
        return facts.digests if facts else ()

    async def build(self, build: ImageBuild) -> str:
        return await self._builds.build(build)

    async def built(self) -> Mapping[str, str]:
        return await self._builds.built()

    async def remove_image(self, reference: str) -> None:
        await self._builds.remove_image(reference)

    async def create(self, spec: ContainerSpec) -> None:
        await self._calls.run(lambda client: self._create(client, spec))

    def _create(self, client: APIClient, spec: ContainerSpec) -> None:
        """No name is given twice: that one is there already, the engine says itself."""
        with self._turns.holding(f"container {spec.name}"):
            try:
                facts = self._known.facts(spec.image_id) or self._images(client).facts(
                    spec.image_id
                )
                client.create_container(
                    **options.create_arguments(client, spec, self._operator_id, facts.volumes)
                )
            except APIError as error:
                if self._is_made(client, spec):
                    return
                if error.status_code == 404:
                    raise ImageUnavailable("The algorithm's image is no longer here") from error
                if error.status_code == 409:
                    raise EngineUnavailable("The container's name is being freed") from error
                raise

    def _is_made(self, client: APIClient, spec: ContainerSpec) -> bool:
        found = _inspect(client, spec.name)
        if found is None:
            return False
        labels = found["Config"].get("Labels") or {}
        if (labels.get(JOB_LABEL), labels.get(OPERATOR_LABEL)) != (spec.job_id, self._operator_id):
            raise EngineRefused("The container's name is taken by another container")
        return True

    async def start(self, name: str) -> None:
        await self._calls.run(lambda client: self._start(client, name))

    def _start(self, client: APIClient, name: str) -> None:
        with self._turns.holding(f"container {name}"):
            found = _inspect(client, name)
            if found is None or _state(found) is not ContainerState.CREATED:
                return
            try:
                client.start(name)
            except NotFound as error:
                # The same number tells a missing container and a missing network.
                if _inspect(client, name) is not None:
                    raise refusal(explanation(error)) from error

    async def observe(self, name: str) -> Observation:
        found = await self._calls.run(lambda client: _inspect(client, name))
        return _observation(found) if found else GONE

    async def usage(self, name: str) -> Usage | None:
        return await self._calls.run(lambda client: usage.of(client, name))

    async def stop(self, name: str, grace_s: float) -> None:
        await self._calls.run(lambda client: _stop(client, name, math.ceil(max(0.0, grace_s))))

    async def save_log(self, name: str, target: Path, limit_bytes: int) -> None:
        await self._calls.run(lambda client: self._save_log(client, name, target, limit_bytes))

    def _save_log(self, client: APIClient, name: str, target: Path, limit_bytes: int) -> None:
        with (
            self._turns.holding(f"file {target}"),
            logs.NewestPart(target, limit_bytes) as newest,
        ):
            try:
                response = request(
                    client,
                    "GET",
                    f"/containers/{name}/logs",
                    params={"stdout": "1", "stderr": "1", "tail": "all"},
                    silence_s=CALL_S,
                )
            except NotFound:
                newest.publish()
                return
            with response:
                for part in logs.payload(response.iter_content(logs.BLOCK)):
                    newest.write(part)
            newest.publish()

    async def stream_log(
        self, name: str, *, follow: bool, skip: int = 0
    ) -> AsyncGenerator[LogPiece, None]:
        reader = LogReader(self._calls, name, follow=follow, skip=skip)
        self._readers.add(reader)
        try:
            async with aclosing(reader.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._readers.discard(reader)

    async def log_beginning(self, name: str) -> str:
        return await self._calls.run(lambda client: beginning_of(client, name))

    async def remove(self, name: str) -> None:
        await self._calls.run(lambda client: _remove(client, name))

    async def owned(self) -> Mapping[str, str]:
        # A step of a build may have the operator's label, and never a job's.
        filters = {"label": [f"{OPERATOR_LABEL}={self._operator_id}", JOB_LABEL]}
        found = await self._calls.run(lambda client: client.containers(all=True, filters=filters))
        return {_name(one): str((one["Labels"] or {}).get(JOB_LABEL, "")) for one in found}

    async def events(self) -> AsyncIterator[str]:
        reader = EventReader(self._calls, self._operator_id)
        self._readers.add(reader)
        try:
            async with aclosing(reader.job_ids()) as job_ids:
                async for job_id in job_ids:
                    yield job_id
        finally:
            self._readers.discard(reader)


def _machine(info: dict[str, Any]) -> Machine:
    """Podman, which tells the version of its builder, makes up an id for each question; its
    host's name has to do."""
    lasting = info.get("ID") if "BuildahVersion" not in info else ""
    return Machine(
        id=str(lasting or info.get("Name") or "engine"),
        cpus=float(info["NCPU"]),
        memory_bytes=int(info["MemTotal"]),
    )


def _inspect(client: APIClient, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.inspect_container(name)
    except NotFound:
        return None
    return found


def _stop(client: APIClient, name: str, grace_s: int) -> None:
    found = _inspect(client, name)
    if found is None or _state(found) is not ContainerState.RUNNING:
        return
    try:
        client.stop(name, timeout=grace_s)
    except NotFound:
        return


def _remove(client: APIClient, name: str) -> None:
    """Ask until the engine has done it: a removal may be under way already."""
    deadline = time.monotonic() + REMOVAL_S
    while not _is_removed(client, name):
        if time.monotonic() > deadline:
            raise EngineUnavailable("The engine could not remove the container")
        time.sleep(REMOVAL_PAUSE_S)


def _is_removed(client: APIClient, name: str) -> bool:
    try:
        client.remove_container(name, v=True, force=True)
    except NotFound:
        return True
    except APIError as error:
        if error.status_code not in {409, 500}:
            raise
        return False
    return True


def _state(found: dict[str, Any]) -> ContainerState:
    """A container that is being removed is what it was before."""
    state = found["State"]
    known = _STATES.get(state["Status"])
    if known is not None and state["Status"] != "dead":
        return known
    return ContainerState.EXITED if _moment(state["StartedAt"]) else ContainerState.CREATED


def _observation(found: dict[str, Any]) -> Observation:
    state, what = found["State"], _state(found)
    ended = what is ContainerState.EXITED
    started_at = _moment(state["StartedAt"])
    # Of a very short run the engine may note the end before the start.
    finished_at = max(_moment(state["FinishedAt"]) or 0.0, started_at or 0.0) or None
    return Observation(
        state=what,
        exit_code=state["ExitCode"] if ended else None,
        oom_killed=bool(state.get("OOMKilled")),
        started_at=started_at,
        finished_at=finished_at if ended else None,
        error=public_text(state.get("Error") or ""),
        pid=state.get("Pid") or None if what is ContainerState.RUNNING else None,
    )


def _moment(text: str) -> float | None:
    """Epoch seconds of an RFC 3339 time with nanoseconds; the year 1 means never."""
    moment = datetime.fromisoformat(text)
    return None if moment.year == 1 else moment.timestamp()


def _name(container: dict[str, Any]) -> str:
    names = [str(name).lstrip("/") for name in container["Names"] or ()]
    return next((name for name in names if "/" not in name), str(container["Id"]))
