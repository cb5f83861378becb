"""The example's story: readings of pumps become a dataset, the dataset a model, the model a
better one. Everything goes through the pipeline operation API by plain HTTP.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import aiohttp

from examples.pipelines import pumps
from examples.pipelines.pipeline import (
    ACCESS_KEY,
    BUILDS,
    CONFIG,
    CONFIGS,
    DATASET_WISH,
    SECRET_KEY,
    config,
    context,
    model_wish,
)

__all__ = ["CONFIG", "ExampleFailedError", "run"]

VERSION = "v1.1.5"
PREPROCESS, TRAIN, OPTIMIZE = "jPqyAFWh7hBKRRNK", "q8uzMBcM5YJH6dPf", "Oi6u8dkur8GTKPxS"
TASK, LOG = "KlnZtRyqy3rPAZWL", "bJ7xLmgp4WSWK498"

PATIENCE_S = 300.0
_ENDED = {"finished", "failed", "deleted"}
_SHOWN_LOG = 3

Json = dict[str, Any]
Say = Callable[[str], None]


class ExampleFailedError(Exception):
    """Something did not go as the story has it; the text says what."""


async def run(
    url: str, session: aiohttp.ClientSession, say: Say, mount: str = "/pipelines"
) -> Json:
    """Tell the story to the service at ``url``; the metrics of both models by name. Raises
    ExampleFailedError."""
    story = _Story(f"{url.rstrip('/')}{mount.rstrip('/')}/api/{VERSION}", session, say)
    await story.register()
    dataset = await story.task(
        PREPROCESS,
        "preprocessing",
        "preprocess",
        dataset_uid=story.uids["dataset"],
        type="project",
        **DATASET_WISH,
    )
    prepared = dataset["training_dataset_uid"]
    trained = await story.task(
        TRAIN,
        "training",
        "train",
        dataset_uid=prepared,
        type="project",
        **model_wish("pump failures"),
    )
    optimized = await story.task(
        OPTIMIZE,
        "retrain",
        "optimize",
        dataset_uid=prepared,
        model_uid=trained["model_uid"],
        type="application",
        **model_wish("pump failures, optimized"),
    )
    metrics = {
        name: await story.metrics(task["model_uid"])
        for name, task in (("trained", trained), ("optimized", optimized))
    }
    for name, found in metrics.items():
        say(f"  {name:<10} {json.dumps(found)}")
    await story.clear()
    if metrics["optimized"]["validation_loss"] > metrics["trained"]["validation_loss"]:
        raise ExampleFailedError("the optimised model is worse than the one it came from")
    return metrics


class _Story:
    def __init__(self, base: str, session: aiohttp.ClientSession, say: Say) -> None:
        self._base = base
        self._session = session
        self._say = say
        self._auth = aiohttp.encode_basic_auth(ACCESS_KEY, SECRET_KEY)
        self.uids: dict[str, str] = {}

    async def register(self) -> None:
        """The pipeline, its dataset, configurations and build files."""
        self._say("Registering")
        await self._register("pipelines", "pipeline", name="pump failures")
        await self._register(
            "datasets",
            "dataset",
            pumps.table().encode(),
            name="readings of pumps",
            type="project",
            extension="csv",
        )
        for name in CONFIGS:
            await self._register(
                "configs", f"config {name}", config(name), name=name, extension="json"
            )
        for name, (sequence, *files) in BUILDS.items():
            await self._register(
                "build_files",
                f"image {name}",
                context(tuple(files)),
                name=name,
                sequence=sequence,
                extension="zip",
            )

    async def clear(self) -> None:
        """Remove the build files, and with them their images."""
        for name in BUILDS:
            url = f"{self._base}/registry/build_files/{self.uids[f'image {name}']}"
            async with self._session.delete(url, headers={"Authorization": self._auth}) as response:
                if response.status != 200:
                    raise ExampleFailedError(f"the build file {name} stays: {response.status}")
        self._say("Build files and their images are removed")

    async def task(self, key: str, log_type: str, name: str, **fields: str) -> Json:
        """Run a task to its end, showing how it is as it goes, and its log."""
        images = {"download": "download", "running": name, "upload": "upload"}
        body = {
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "task_name": f"{name} pumps",
            "task_description": f"{name} of the example",
            "pipeline_uid": self.uids["pipeline"],
            "config_uid": self.uids[f"config {name}"],
            "image_uid": {
                f"{place}_uid": self.uids[f"image {each}"] for place, each in images.items()
            },
            **fields,
        }
        self._say(f"Task: {name}")
        started = await self._parse(key, body)
        ended = await self._follow(started)
        await self._show_log(started["uid"], log_type)
        if ended["status"] != "finished":
            raise ExampleFailedError(f"{name} ended as {ended['status']}: {ended.get('reason')}")
        return ended

    async def metrics(self, model_uid: str) -> Json:
        """Those that lie in a model beside its weights."""
        url = f"{self._base}/registry/models/{model_uid}/content"
        async with self._session.get(url, headers={"Authorization": self._auth}) as response:
            if response.status != 200:
                raise ExampleFailedError(f"the model cannot be had: {await response.text()}")
            content = await response.read()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found: Json = json.loads(archive.read("metrics.json"))
            return found

    async def _register(
        self, kind: str, label: str, content: bytes | None = None, **fields: str
    ) -> None:
        form = aiohttp.FormData(default_to_multipart=True)
        if "pipeline" in self.uids:
            fields["pipeline_uid"] = self.uids["pipeline"]
        for field, value in fields.items():
            form.add_field(field, value)
        if content is not None:
            form.add_field("file", content, filename=label.replace(" ", "-"))
        url = f"{self._base}/registry/{kind}"
        headers = {"Authorization": self._auth}
        async with self._session.post(url, data=form, headers=headers) as response:
            answer = await response.json()
        if response.status != 201:
            raise ExampleFailedError(f"{label} is not registered: {answer['detail']}")
        self.uids[label] = answer["data"]["uid"]
        self._say(f"  {label:<18} {self.uids[label]}")

    async def _follow(self, started: Json) -> Json:
        seen, task = "", started
        async with asyncio.timeout(PATIENCE_S):
            while True:
                now = f"{task['execute_step']} / {task['status']}"
                if now != seen:
                    self._say(f"  {now}")
                    seen = now
                if task["status"] in _ENDED:
                    return task
                await asyncio.sleep(0.05)
                task = await self._parse(TASK, {"uid": started["uid"]})

    async def _show_log(self, uid: str, log_type: str) -> None:
        steps = await self._parse(LOG, {"task_uid": uid, "type": log_type})
        for step, text in steps.items():
            for line in text.splitlines()[-_SHOWN_LOG:]:
                self._say(f"  {step}: {line}")

    async def _parse(self, key: str, body: Json) -> Json:
        url = f"{self._base}/entrypoint/Router/parse/{key}"
        async with self._session.post(url, json=body) as response:
            answer = await response.json()
        if response.status != 200:
            raise ExampleFailedError(f"{response.status}: {answer['detail']}")
        data: Json = answer["data"]
        return data
