"""Images built by the engine's classic builder.

A build lasts as long as its author pleases, so it has a thread of its own and an answer that
can be cut off: the builder then kills the step that runs. All containers and images of a
build carry a label from the first step on, so that what it leaves behind is found whatever
it did. Layers are never taken from an earlier build, nor kept for a later one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import uuid4

import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound

from compute import dockerfile
from compute.engines.base import BUILD_LABEL, JOB_LABEL, OPERATOR_LABEL, ImageBuild
from compute.engines.docker import images
from compute.engines.docker.buildlog import MOST_PRINTED, BuildLog, failure
from compute.engines.docker.calls import Answer, Calls, CutOff, alone, request
from compute.engines.docker.context import DOCKERFILE, Context
from compute.engines.docker.errors import SILENT, explanation, meaning, translated
from compute.errors import BuildRefused, ComputeError, EngineRefused, EngineUnavailable

log = logging.getLogger(__name__)

LEAVE_S = 10.0
SETTLE_S = 0.3
LOOK_S = 3.0
"""How often is looked at what a build has written."""

CPU_PERIOD_US = 100_000
OPEN_FILES = 4096
NO_NAME = "<none>:<none>"


class Builds:
    """The builds of one engine."""

    def __init__(self, calls: Calls, operator_id: str) -> None:
        self._calls = calls
        self._operator_id = operator_id
        self._mark = sha256(operator_id.encode()).hexdigest()[:16]
        self._under_way: dict[str, _Build] = {}

    async def build(self, build: ImageBuild) -> str:
        """As :meth:`compute.engines.base.Engine.build`."""
        one = _Build(build, f"{self._mark}-{uuid4().hex}")
        self._under_way[one.token] = one
        work = asyncio.create_task(alone(lambda: self._work(one), name="docker-build"))
        work.add_done_callback(lambda _: self._ended(one, work))
        watch = asyncio.create_task(self._watch(one))
        try:
            async with asyncio.timeout(build.timeout_s) as limit:
                return await asyncio.shield(work)
        except CutOff:
            raise one.why_cut or EngineUnavailable("The build was interrupted") from None
        except TimeoutError:
            if not limit.expired():
                raise EngineUnavailable(SILENT) from None
            await self._cut(one, work)
            raise one.log.refused(
                f"The build takes longer than {build.timeout_s:.0f} seconds"
            ) from None
        finally:
            watch.cancel()
            await self._cut(one, work)

    async def close(self) -> None:
        """Interrupt all builds; those who wait are told that the engine is unavailable."""
        builds = list(self._under_way.values())
        for one in builds:
            one.answer.cut()
        deadline = time.monotonic() + LEAVE_S
        while any(one.token in self._under_way for one in builds):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.02)

    async def _cut(self, one: _Build, work: asyncio.Task[str]) -> None:
        """Have the build end and what it made cleared away."""
        if not work.done():
            one.answer.cut()
            await asyncio.wait({work}, timeout=LEAVE_S)

    def _ended(self, one: _Build, work: asyncio.Task[str]) -> None:
        self._under_way.pop(one.token, None)
        if not work.cancelled():
            # Nobody may be left to ask for it.
            work.exception()

    async def _watch(self, one: _Build) -> None:
        """Cut the build off when it writes too much."""
        most = one.build.disk_bytes
        while most is not None:
            await asyncio.sleep(LOOK_S)
            try:
                written = await self._calls.run(
                    lambda client: _written(client, one.token, one.base_bytes)
                )
            except ComputeError:
                continue
            if written > most:
                one.cut(f"The build writes more than {most >> 20} MiB")
                return

    def _work(self, one: _Build) -> str:
        context = Context(one.build.context)
        text = dockerfile.decoded(context.dockerfile(dockerfile.MOST_BYTES))
        text = dockerfile.labelled(text, BUILD_LABEL, one.token)
        with self._calls.fresh() as client, translated():
            self._sweep(client, [])
            one.base_bytes = _check_bases(client, one.build, text)
            try:
                return self._read(client, one, context, text)
            finally:
                self._clear(client, one)

    def _read(self, client: APIClient, one: _Build, context: Context, text: str) -> str:
        try:
            response = request(
                client,
                "POST",
                "/build",
                params=_parameters(one.build, self._operator_id),
                headers={"Content-Type": "application/x-tar"},
                body=_until_cut(one.answer, context.tar(text.encode())),
                silence_s=one.build.timeout_s + LEAVE_S,
            )
            for line in one.answer.lines(response):
                one.log.take(line)
                if one.log.prints_too_much:
                    one.cut(f"The build prints more than {MOST_PRINTED >> 20} MiB")
                    raise CutOff
        except APIError as error:
            if isinstance(meaning(error), EngineRefused):
                raise one.log.refused(failure(explanation(error))) from error
            raise
        if not one.log.image_id:
            raise EngineUnavailable(SILENT)
        return one.log.image_id

    def _clear(self, client: APIClient, one: _Build) -> None:
        """Leave nothing but the image. What cannot be cleared away now is found later."""
        try:
            if one.answer.is_cut:
                # The builder does not say when it has noticed.
                self._sweep(client, [one.token])
                time.sleep(SETTLE_S)
                _remove_all(client, {"label": f"{BUILD_LABEL}={one.token}"}, lambda found: True)
            self._sweep(client, [one.token])
        except (DockerException, requests.RequestException) as error:
            log.warning("build.not_cleared reason=%s", type(error).__name__)

    def _sweep(self, client: APIClient, over: list[str]) -> None:
        """Clear away what is left of the builds in ``over`` and of an earlier process's."""
        going_on = set(self._under_way) - set(over)

        def left(found: Mapping[str, Any]) -> bool:
            token = str((found.get("Labels") or {}).get(BUILD_LABEL, ""))
            return token.startswith(self._mark) and token not in going_on

        for container in client.containers(all=True, filters={"label": BUILD_LABEL}):
            # A container of a job has the label too: from its image.
            if left(container) and JOB_LABEL not in (container.get("Labels") or {}):
                _gone(partial(client.remove_container, container["Id"], v=True, force=True))
        _remove_all(client, {"dangling": True, "label": BUILD_LABEL}, left)

    async def built(self) -> Mapping[str, str]:
        """As :meth:`compute.engines.base.Engine.built`. What a killed process left of its
        builds is cleared away before."""
        found = await self._calls.run(self._swept_images)
        return {
            str(reference): str(one["Id"])
            for one in found
            for reference in one.get("RepoTags") or ()
            if reference != NO_NAME
        }

    def _swept_images(self, client: APIClient) -> list[dict[str, Any]]:
        self._sweep(client, [])
        filters = {"label": [f"{OPERATOR_LABEL}={self._operator_id}", BUILD_LABEL]}
        found: list[dict[str, Any]] = client.images(filters=filters)
        return found

    async def remove_image(self, reference: str) -> None:
        """As :meth:`compute.engines.base.Engine.remove_image`."""
        await self._calls.run(lambda client: self._remove_image(client, reference))

    def _remove_image(self, client: APIClient, reference: str) -> None:
        try:
            config = images.inspect(client, reference).get("Config") or {}
            if (config.get("Labels") or {}).get(OPERATOR_LABEL) != self._operator_id:
                raise EngineRefused("The image was not built here")
            client.remove_image(reference)
        except NotFound:
            return
        except APIError as error:
            if error.status_code == 409:
                raise EngineRefused("The image is in use by a container") from error
            raise


class _Build:
    """One build under way."""

    def __init__(self, build: ImageBuild, token: str) -> None:
        self.build = build
        self.token = token
        self.answer = Answer()
        self.log = BuildLog(build.output_bytes)
        self.base_bytes = 0
        self.why_cut: BuildRefused | None = None

    def cut(self, why: str) -> None:
        """Have it end, refused."""
        self.why_cut = self.log.refused(why)
        self.answer.cut()


def _parameters(build: ImageBuild, operator_id: str) -> Mapping[str, str]:
    limits = {"core": 0, "nofile": OPEN_FILES}
    if build.disk_bytes is not None:
        limits["fsize"] = build.disk_bytes
    return {
        "t": build.reference.reference,
        "dockerfile": DOCKERFILE,
        "networkmode": "none",
        "nocache": "1",
        "rm": "1",
        "forcerm": "1",
        "memory": str(build.memory_bytes),
        "memswap": str(build.memory_bytes),
        "cpuperiod": str(CPU_PERIOD_US),
        "cpuquota": str(max(1000, round(build.cpus * CPU_PERIOD_US))),
        "ulimits": json.dumps(
            [{"Name": name, "Soft": value, "Hard": value} for name, value in limits.items()]
        ),
        "labels": json.dumps({OPERATOR_LABEL: operator_id}),
    }


def _check_bases(client: APIClient, build: ImageBuild, text: str) -> int:
    """How large the largest is. Its own ONBUILD steps would run unread, and nobody counts what
    a step writes into its volumes."""
    runs = any(one.word == "RUN" for one in dockerfile.instructions(text))
    largest = 0
    for base in build.bases:
        try:
            found = images.inspect(client, base)
        except NotFound:
            raise BuildRefused("An image that the Dockerfile names is no longer here") from None
        config = found.get("Config") or {}
        if config.get("OnBuild"):
            raise BuildRefused("An image that the Dockerfile names has ONBUILD steps; use another")
        if runs and config.get("Volumes"):
            raise BuildRefused(
                "An image that the Dockerfile names declares a VOLUME, so there may be no RUN;"
                " use another"
            )
        largest = max(largest, int(found.get("Size") or 0))
    return largest


def _written(client: APIClient, token: str, base_bytes: int) -> int:
    """What the stages have added to their bases so far, and the present step adds. Of bases of
    different sizes the largest is taken for all, so that some may be counted too little."""
    filters = {"label": f"{BUILD_LABEL}={token}"}
    made = client.images(all=True, filters=filters)
    running = client.containers(size=True, filters=filters)
    parents = {image.get("ParentId") for image in made}
    ends = [int(image.get("Size") or 0) for image in made if image["Id"] not in parents]
    added = sum(max(0, size - base_bytes) for size in ends)
    return added + sum(int(container.get("SizeRw") or 0) for container in running)


def _until_cut(answer: Answer, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if answer.is_cut:
            raise CutOff
        if block:
            yield block


def _remove_all(
    client: APIClient, filters: Mapping[str, Any], chosen: Callable[[Mapping[str, Any]], bool]
) -> None:
    for image in filter(chosen, client.images(filters=dict(filters))):
        _gone(partial(client.remove_image, image["Id"]))


def _gone(remove: Callable[[], object]) -> None:
    """Let be what is gone already, in use, or on its way."""
    try:
        remove()
    except APIError as error:
        if error.status_code not in {404, 409, 500}:
            raise
