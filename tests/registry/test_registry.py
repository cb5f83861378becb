"""The registry on a real database: what it keeps, what it refuses, what a crash leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from registry_items import a_pipeline, an_item, an_output, with_content

from compute.store.base import Database
from provider.registry.errors import (
    ContentUnavailable,
    ItemExists,
    ItemInUse,
    ItemPending,
    ItemUnusable,
    UnknownItem,
)
from provider.registry.models import Item, ItemState, Kind, is_uid, new_uid
from provider.registry.registry import Registry

TASK = "8249529a-a009-40c4-b9d3-9dfc429f4c85"


async def reopened(database: Database, folder: Path) -> Registry:
    """As after a start, long after whatever was left."""
    return await Registry(database, folder / "registry", others_s=0.0).__aenter__()


async def begin(database: Database, registry: Registry, output: Item, **needed: Item) -> None:
    await database.write(registry.begin_task(output, needed))


async def test_an_item_is_kept_with_all_it_has(registry: Registry, tmp_path: Path) -> None:
    pipeline = await a_pipeline(registry, description="a\nb")
    item = await with_content(
        registry,
        tmp_path,
        Kind.DATASET,
        "a,b\n",
        pipeline_uid=pipeline.uid,
        extension="csv",
        details={"type": "project"},
    )
    assert await registry.get("", Kind.PIPELINE, pipeline.uid) == pipeline
    assert await registry.ready("", Kind.DATASET, item.uid) == item
    assert registry.path(item).read_text() == "a,b\n"
    assert await registry.listed("", Kind.DATASET, pipeline.uid) == [item]


async def test_lists_show_the_newest_first_and_one_pipeline_only(
    registry: Registry, tmp_path: Path
) -> None:
    old, new = [await a_pipeline(registry, created_at=at) for at in (1.0, 2.0)]
    assert await registry.listed("", Kind.PIPELINE) == [new, old]
    of_old, _ = [
        await with_content(registry, tmp_path, Kind.CONFIG, "1", pipeline_uid=pipeline.uid)
        for pipeline in (old, new)
    ]
    assert await registry.listed("", Kind.CONFIG, old.uid) == [of_old]


async def test_unknown_in_another_kind_or_space(registry: Registry) -> None:
    pipeline = await a_pipeline(registry, space="blue")
    for space, kind, uid in (
        ("", Kind.PIPELINE, pipeline.uid),
        ("blue", Kind.MODEL, pipeline.uid),
        ("blue", Kind.PIPELINE, new_uid()),
    ):
        with pytest.raises(UnknownItem, match=uid):
            await registry.get(space, kind, uid)
    assert await registry.listed("", Kind.PIPELINE) == []


async def test_a_taken_uid_is_refused_and_its_content_stays(
    registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    item = await with_content(registry, tmp_path, Kind.CONFIG, "1", pipeline_uid=pipeline.uid)
    for kind in (Kind.CONFIG, Kind.MODEL):
        with pytest.raises(ItemExists):
            await with_content(
                registry, tmp_path, kind, "2", uid=item.uid, pipeline_uid=pipeline.uid
            )
    with pytest.raises(ItemExists):
        await registry.require_free(item.uid)
    assert registry.path(item).read_text() == "1"
    assert not registry.path(an_item(Kind.MODEL, uid=item.uid)).exists()


async def test_an_item_of_no_pipeline_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    item = an_item(Kind.CONFIG, pipeline_uid=new_uid())
    (tmp_path / "source").write_text("1")
    with pytest.raises(UnknownItem, match="pipeline_uid"):
        await registry.add(item, tmp_path / "source")
    assert not registry.path(item).exists()
    with pytest.raises(ContentUnavailable):
        await registry.add(an_item(Kind.CONFIG), tmp_path / "no such file")


async def test_a_pipeline_goes_after_what_belongs_to_it(registry: Registry, tmp_path: Path) -> None:
    pipeline = await a_pipeline(registry)
    item = await with_content(registry, tmp_path, Kind.CONFIG, "1", pipeline_uid=pipeline.uid)
    with pytest.raises(ItemInUse, match="items: 1"):
        await registry.remove("", Kind.PIPELINE, pipeline.uid)
    await registry.remove("", Kind.CONFIG, item.uid)
    assert not registry.path(item).exists()
    await registry.remove("", Kind.PIPELINE, pipeline.uid)
    with pytest.raises(UnknownItem):
        await registry.remove("", Kind.PIPELINE, pipeline.uid)


async def test_what_a_task_needs_stays_until_it_is_settled(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    item = await with_content(registry, tmp_path, Kind.DATASET, "1", pipeline_uid=pipeline.uid)
    output = an_output(TASK, pipeline)
    await begin(database, registry, output, dataset_uid=item, pipeline_uid=pipeline)
    assert await registry.unsettled_tasks() == [("", TASK)]
    for kind, uid in ((Kind.DATASET, item.uid), (Kind.MODEL, output.uid)):
        with pytest.raises(ItemInUse, match=TASK):
            await registry.remove("", kind, uid)
    await registry.give_up(output, "it failed")
    assert await registry.unsettled_tasks() == []
    await registry.remove("", Kind.DATASET, item.uid)
    await registry.remove("", Kind.MODEL, output.uid)


async def test_a_task_does_not_begin_with_what_has_gone(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    item = await with_content(registry, tmp_path, Kind.DATASET, "1", pipeline_uid=pipeline.uid)
    await registry.remove("", Kind.DATASET, item.uid)
    output = an_output(TASK, pipeline)
    with pytest.raises(UnknownItem, match="dataset_uid"):
        await begin(database, registry, output, dataset_uid=item)
    assert await registry.missing_output(TASK) is None
    assert await registry.unsettled_tasks() == []


async def test_an_output_has_its_content_after_its_task(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    output = an_output(TASK, pipeline)
    await begin(database, registry, output)
    with pytest.raises(ItemPending, match=TASK):
        await registry.ready("", Kind.MODEL, output.uid, field="model_uid")
    assert await registry.missing_outputs("", pipeline.uid) == {TASK: output}
    (tmp_path / "result").write_text("weights")
    await asyncio.gather(*(registry.fulfil(output, tmp_path / "result") for _ in range(3)))
    await registry.give_up(output, "too late")
    found = await registry.ready("", Kind.MODEL, output.uid)
    assert found.state is ItemState.READY
    assert found.content
    assert found.content.size == 7
    assert registry.path(found).read_text() == "weights"
    assert len(list(registry.path(found).parent.iterdir())) == 1
    assert await registry.missing_output(TASK) is None


async def test_a_failed_output_says_why(database: Database, registry: Registry) -> None:
    pipeline = await a_pipeline(registry)
    output = an_output(TASK, pipeline)
    await begin(database, registry, output)
    await registry.give_up(output, "stage running: exit_code")
    with pytest.raises(ItemUnusable, match=r"model_uid.*stage running: exit_code"):
        await registry.ready("", Kind.MODEL, output.uid, field="model_uid")
    missing = await registry.missing_output(TASK)
    assert missing
    assert missing.state is ItemState.FAILED
    assert await registry.unsettled_output(TASK) is None


async def test_a_start_removes_contents_without_a_row(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    item = await with_content(registry, tmp_path, Kind.MODEL, "1", pipeline_uid=pipeline.uid)
    output = an_output(TASK, pipeline)
    await begin(database, registry, output)
    registry.path(output).write_text("half of it")
    left = [registry.path(an_item(Kind.MODEL)), registry.path(an_item(Kind.DATASET))]
    left.append(tmp_path / "registry" / "partial" / "something")
    for path in left:
        path.write_text("left by a crash")
    again = await reopened(database, tmp_path)
    assert [path for path in left if path.exists()] == []
    assert again.path(item).read_text() == "1"
    (tmp_path / "result").write_text("all of it")
    await again.fulfil(output, tmp_path / "result")
    made = await again.ready("", Kind.MODEL, output.uid)
    assert again.path(made).read_text() == "all of it"


@pytest.mark.parametrize(
    ("name", "extension", "expected"),
    [
        ("rows", "csv", "rows.csv"),
        ("my rows: 1/2", "zip", "my_rows_1_2.zip"),
        ("../../etc/passwd", "zip", "etc_passwd.zip"),
        ("-x", "", "x"),
        ("模型", "zip", f"{TASK}.zip"),
        ("a" * 300, "tar.gz", "a" * 100 + ".tar.gz"),
    ],
)
def test_a_content_has_a_name_that_is_safe(name: str, extension: str, expected: str) -> None:
    assert an_item(uid=TASK, name=name, extension=extension).file_name == expected


@pytest.mark.parametrize("text", ["", "x", TASK.upper(), TASK + "\n", f"../{TASK}", f"{TASK}/"])
def test_what_is_no_uid(text: str) -> None:
    assert not is_uid(text)


def test_a_new_uid_is_one() -> None:
    assert is_uid(new_uid())


async def test_who_claims_the_uid_of_an_output_does_not_touch_its_content(
    database: Database, registry: Registry, tmp_path: Path
) -> None:
    pipeline = await a_pipeline(registry)
    output = an_output(TASK, pipeline, kind=Kind.DATASET)
    await begin(database, registry, output)
    made, claim = tmp_path / "made", tmp_path / "claim"
    made.write_text("made")
    claim.write_text("claimed")
    claimed = an_item(Kind.DATASET, uid=output.uid, pipeline_uid=pipeline.uid)

    async def claims() -> None:
        for _ in range(20):
            with pytest.raises(ItemExists):
                await registry.add(claimed, claim)

    await asyncio.gather(*(claims() for _ in range(4)), registry.fulfil(output, made))
    settled = await registry.ready("", Kind.DATASET, output.uid)
    assert registry.path(settled).read_text() == "made"
