"""Several processes over one registry: the first outcome stays, whoever has another."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from registry_items import a_pipeline, an_item, an_output
from support.sharing import Process

from compute.store.base import MISSED, Database
from provider.registry.models import Item, Kind, new_uid
from provider.registry.registry import Registry

TASK = new_uid()


async def begin(database: Database, registry: Registry, output: Item) -> None:
    await database.write(registry.begin_task(output, {}))


@pytest.fixture
async def processes(database: Database, tmp_path: Path) -> list[Registry]:
    folder = tmp_path / "registry"
    return [await Registry(Process(database), folder).__aenter__() for _ in range(3)]


def contents(registry: Registry) -> list[Path]:
    return [path for path in registry.path(an_item(Kind.MODEL)).parent.iterdir() if path.is_file()]


@pytest.mark.parametrize("same", [True, False])
async def test_of_several_outcomes_one_stays_and_nothing_else(
    database: Database, processes: list[Registry], tmp_path: Path, same: bool
) -> None:
    pipeline = await a_pipeline(processes[0])
    output = an_output(TASK, pipeline, kind=Kind.MODEL)
    await begin(database, processes[0], output)
    sources = [tmp_path / str(number) for number in range(len(processes))]
    for number, source in enumerate(sources):
        source.write_text("made" if same else f"made by {number}")
    await asyncio.gather(
        *(each.fulfil(output, source) for each, source in zip(processes, sources, strict=True))
    )
    told = [await each.ready("", Kind.MODEL, output.uid) for each in processes]
    assert len({each.content for each in told}) == 1
    [kept] = contents(processes[0])
    for registry, item in zip(processes, told, strict=True):
        assert registry.path(item) == kept
        assert item.content is not None
        assert item.content.size == kept.stat().st_size


async def test_what_was_removed_meanwhile_does_not_come_back(
    database: Database, processes: list[Registry], tmp_path: Path
) -> None:
    pipeline = await a_pipeline(processes[0])
    output = an_output(TASK, pipeline, kind=Kind.MODEL)
    await begin(database, processes[0], output)
    (tmp_path / "source").write_text("made")
    await processes[0].fulfil(output, tmp_path / "source")
    await processes[1].remove("", Kind.MODEL, output.uid)
    await processes[2].fulfil(output, tmp_path / "source")
    assert contents(processes[0]) == []


async def test_a_start_leaves_what_another_process_is_about_to_write_down(
    database: Database, processes: list[Registry], tmp_path: Path
) -> None:
    fresh = processes[0].path(an_item(Kind.MODEL))
    fresh.write_text("its row comes next")
    os.utime(fresh, (0, 0))
    await Registry(Process(database), tmp_path / "registry").__aenter__()
    assert fresh.exists()
    await Registry(Process(database), tmp_path / "registry", others_s=0.0).__aenter__()
    assert not fresh.exists()


async def test_what_tasks_made_before_is_found_by_its_old_name(
    database: Database, processes: list[Registry], tmp_path: Path
) -> None:
    pipeline = await a_pipeline(processes[0])
    output = an_output(TASK, pipeline, kind=Kind.MODEL)
    await begin(database, processes[0], output)
    (tmp_path / "source").write_text("made")
    await processes[0].fulfil(output, tmp_path / "source")
    item = await processes[0].ready("", Kind.MODEL, output.uid)
    old = processes[0].path(item).with_name(item.uid)
    processes[0].path(item).rename(old)
    alone = await Registry(database, tmp_path / "registry").__aenter__()
    assert alone.path(item) == old
    await alone.remove("", Kind.MODEL, item.uid)
    assert not old.exists()


async def test_who_may_have_missed_ends_is_told(database: Database) -> None:
    heard: list[str] = []

    class Losing(Process):
        def hear(self, listener):  # type: ignore[no-untyped-def]
            listener("job.ended:a:b")
            listener(MISSED)
            return lambda: heard.append("ended")

    registry = Registry(Losing(database), Path("unused"))
    registry.on_missed(lambda: heard.append("missed"))()
    assert heard == ["missed", "ended"]
