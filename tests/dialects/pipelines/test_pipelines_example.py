"""The example: its numbers, and its story told to a real service."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from pipeline_service import end
from support.service import Service

from examples.pipelines import demo, pumps

BASE = "python:3.*"


def test_the_readings_are_the_same_everywhere() -> None:
    header, *rows = pumps.table().splitlines()
    assert header == "temperature_c,vibration_mm_s,pressure_bar,running_hours,failed"
    assert len(rows) == pumps.ROWS
    assert pumps.table() == pumps.table()
    failed = sum(row.endswith(",1") for row in rows)
    assert 0.3 < failed / len(rows) < 0.7


@pytest.mark.docker
async def test_the_story(tmp_path: Path, example_images: None) -> None:
    service = Service(tmp_path / "service")
    images = {"allow": [BASE], "pull": "never", "build": True}
    service.environments({"id": "small", "ramGB": 0.5, "diskGB": 0.1, "images": images})
    service.dialects({"pipelines": dict(demo.CONFIG)})
    said: list[str] = []
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            metrics = await demo.run(service.url, session, said.append)
        assert service.leftovers() == []
        assert service.built_images() == set()
    finally:
        end(service)
    assert metrics["optimized"]["validation_loss"] < metrics["trained"]["validation_loss"] < 0.6
    assert metrics["optimized"]["test_accuracy"] >= metrics["trained"]["test_accuracy"] > 0.7
    for line in ("  prepare_file / init", "  upload / finished"):
        assert said.count(line) == 3
