"""A client of the pipeline operation API over plain HTTP, and build files that run a script."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable
from typing import Any

import aiohttp
from support.service import IMAGE

Json = dict[str, Any]

ACCESS_KEY = "user1"
SECRET_KEY = "test"
AUTH = aiohttp.encode_basic_auth(ACCESS_KEY, SECRET_KEY)
API = "/pipelines/api/v1.1.5"
PREPROCESS, TRAIN, OPTIMIZE = "jPqyAFWh7hBKRRNK", "q8uzMBcM5YJH6dPf", "Oi6u8dkur8GTKPxS"
TASK, LOG, TASKS = "KlnZtRyqy3rPAZWL", "bJ7xLmgp4WSWK498", "s8i1TNiTXwwv02mv"
DELETE, CHOICES = "CNNfUmDpcWXp7vdM", "oNjkVj60RqS8DQTX"
PATIENCE_S = 60.0

_BUILD_FILE = 'FROM {image}:1\nCMD ["sh", "-ec", "{script}"]\n'
_SCRIPTS = {
    "download": "ls -R $INPUTS; cat $DATASET_FILE > $OUTPUTS/data;"
    " test -z $MODEL_FILE || cat $MODEL_FILE > $OUTPUTS/model",
    "running": "cp $INPUTS/stages/0/* $OUTPUTS; . $CONFIG_FILE",
    "upload": "cp $INPUTS/stages/1/* $OUTPUTS; echo $OUTPUT_UID.$OUTPUT_EXTENSION",
}
"""Each configuration of the tests is what the second stage is to do beside copying."""


def build_file(sequence: str) -> bytes:
    return _BUILD_FILE.format(image=IMAGE, script=_SCRIPTS[sequence]).encode()


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


class Caller:
    """``uids`` are what :meth:`furnish` has registered."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url + API
        self._session = session
        self.uids: dict[str, str] = {}

    async def parse(self, key: str, body: Any, **options: Any) -> tuple[int, Json]:
        """One call of the wire."""
        url = f"{self.url}/entrypoint/Router/parse/{key}"
        options = options or {"json": body}
        async with self._session.post(url, **options) as response:
            return response.status, await response.json()

    async def good(self, key: str, body: Json) -> Any:
        """The data of a call that succeeds."""
        status, answer = await self.parse(key, body)
        assert status == 200, answer
        return answer["data"]

    async def registry(
        self, method: str, path: str, *, auth: str | None = AUTH, **options: Any
    ) -> tuple[int, Any]:
        """One call of the registry; bytes where the answer is a content."""
        headers = {"Authorization": auth} if auth else {}
        url = f"{self.url}/registry/{path}"
        async with self._session.request(method, url, headers=headers, **options) as response:
            if "Content-Disposition" in response.headers:
                return response.status, await response.read()
            return response.status, await response.json()

    async def post(
        self, kind: str, content: bytes | None = None, *, auth: str | None = AUTH, **fields: str
    ) -> tuple[int, Json]:
        """Hand something in as a form."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            form.add_field(name, value)
        if content is not None:
            form.add_field("file", io.BytesIO(content), filename="../../x")
        return await self.registry("POST", kind, data=form, auth=auth)

    async def add(self, kind: str, content: bytes | None = None, **fields: str) -> str:
        """The UID of something that is taken in."""
        if "pipeline" in self.uids:
            fields = {"pipeline_uid": self.uids["pipeline"]} | fields
        status, answer = await self.post(kind, content, **({"name": "thing"} | fields))
        assert status == 201, answer
        return str(answer["data"]["uid"])

    async def config(self, script: str) -> str:
        return await self.add("configs", script.encode(), extension="sh")

    async def furnish(self) -> None:
        """A pipeline with an original dataset and the three build files."""
        self.uids["pipeline"] = await self.add("pipelines")
        self.uids["dataset"] = await self.add(
            "datasets", b"a,b\n1,2\n", name="rows", type="project", extension="csv"
        )
        for sequence in _SCRIPTS:
            self.uids[sequence] = await self.add(
                "build_files", build_file(sequence), sequence=sequence
            )

    async def body(self, script: str = "true", **changes: Any) -> Json:
        """A good request for preprocessing."""
        return {
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "task_name": "test_task",
            "task_description": "test task",
            "pipeline_uid": self.uids["pipeline"],
            "dataset_uid": self.uids["dataset"],
            "type": "project",
            "config_uid": await self.config(script),
            "image_uid": {
                f"{each}_uid": self.uids[each] for each in ("download", "running", "upload")
            },
            "dataset_name": "prepared",
            "dataset_description": "prepared rows",
            "dataset_type": "training",
            "dataset_file_extension": "zip",
            **changes,
        }

    async def model_body(self, dataset_uid: str, script: str = "true", **changes: Any) -> Json:
        """A good request for training."""
        body = await self.body(script, dataset_uid=dataset_uid)
        body = {name: value for name, value in body.items() if not name.startswith("dataset_")}
        return {
            **body,
            "dataset_uid": dataset_uid,
            "model_name": "the model",
            "model_description": "a model",
            "model_type": "default",
            "model_input_format": "float32",
            "model_output_format": "float32",
            "model_file_extension": "zip",
            **changes,
        }

    async def until(self, uid: str, seen: Callable[[Json], bool]) -> list[Json]:
        """All that a task was until it is as wanted, without repetitions."""
        found: list[Json] = []
        async with asyncio.timeout(PATIENCE_S):
            while not (found and seen(found[-1])):
                task = await self.good(TASK, {"uid": uid})
                if not found or task != found[-1]:
                    found.append(task)
        return found

    async def ended(self, uid: str) -> Json:
        return (await self.until(uid, over))[-1]

    async def printed(self, uid: str, kind: str, step: str, text: str) -> Json:
        """The log as soon as a step has printed this."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                log: Json = await self.good(LOG, {"task_uid": uid, "type": kind})
                if text in log[step]:
                    return log


def over(task: Json) -> bool:
    return task["status"] in {"finished", "failed", "deleted"}


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


def unpacked(content: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}
