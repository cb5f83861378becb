"""Items as they are handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from provider.registry.models import Content, Item, ItemState, Kind, new_uid
from provider.registry.registry import Registry


def an_item(kind: Kind = Kind.PIPELINE, **changes: Any) -> Item:
    base: dict[str, Any] = {
        "uid": new_uid(),
        "kind": kind,
        "space": "",
        "owner": "user1",
        "name": "things",
        "created_at": 1000.5,
    }
    return Item(**(base | changes))


async def a_pipeline(registry: Registry, **changes: Any) -> Item:
    pipeline = an_item(**changes)
    await registry.add(pipeline)
    return pipeline


async def with_content(
    registry: Registry, folder: Path, kind: Kind, text: str, **changes: Any
) -> Item:
    """One that was handed in, with this content."""
    source = folder / new_uid()
    source.write_text(text)
    item = an_item(kind, content=Content(len(text), "00" * 32), **changes)
    await registry.add(item, source)
    source.unlink()
    return item


def an_output(task_uid: str, pipeline: Item, **changes: Any) -> Item:
    """What a task is to make."""
    return an_item(
        changes.pop("kind", Kind.MODEL),
        pipeline_uid=pipeline.uid,
        state=ItemState.PENDING,
        task_uid=task_uid,
        extension="zip",
        **changes,
    )
