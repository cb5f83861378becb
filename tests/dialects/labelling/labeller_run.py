"""Runs the labelling algorithm as its container would, but as a process of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE_FOLDER = Path(__file__).parents[3] / "examples" / "labelling" / "image"
TASK_ID = "8fec5762412c11ec836d04ea56825baa"
Json = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    progress: Json
    sample: list[Json]


@dataclass(frozen=True)
class Desk:
    """Folders as a container sees them, below one."""

    root: Path

    def prepare(self, site: Json, **task: Any) -> None:
        for name in ("inputs", "outputs", "secrets"):
            (self.root / name).mkdir(exist_ok=True)
        (self.root / "secrets" / "site_config").write_text(json.dumps(site))
        (self.root / "inputs" / "algoCustomData.json").write_text(json.dumps(task_of(**task)))

    def start(self) -> subprocess.Popen[str]:
        folders = {name.upper(): str(self.root / name) for name in ("inputs", "outputs", "secrets")}
        return subprocess.Popen(
            [sys.executable, "-m", "labeller"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(IMAGE_FOLDER),
                **folders,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, site: Json, **task: Any) -> Ended:
        self.prepare(site, **task)
        return self.wait(self.start())

    def wait(self, process: subprocess.Popen[str]) -> Ended:
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err, self.progress(), self.sample())

    def progress(self) -> Json:
        path = self.outputs / "progress.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def sample(self) -> list[Json]:
        files = sorted((self.outputs / "sample").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"


def task_of(**changes: Any) -> Json:
    return {
        "task_id": TASK_ID,
        "model_type": "keyword_model",
        "predict_type": "content",
        "start_time": "2020-01-01",
        "end_time": "2021-01-01",
        "pattern": {},
        "input_schema": "wh_forum",
        "input_table": "ts_page_content",
        "output_schema": "audience_result",
        "batch_rows": 300,
        **changes,
    }
