"""The statements of the registry, as units of work.

What has to hold together is judged inside one transaction: an item belongs to a pipeline that
is there, nothing goes away that a task needs, and a task starts only with items that are there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from compute.store.base import Work
from provider.registry.errors import ItemExists, ItemInUse, UnknownItem
from provider.registry.models import Content, Item, ItemState, Kind
from provider.registry.tables import registry_items as items
from provider.registry.tables import registry_uses as uses

MOST_LISTED = 1000

_MISSING = items.c.state != ItemState.READY.value


def add(item: Item) -> Work[None]:
    """Raises ItemExists, UnknownItem for a pipeline that is not there."""

    def work(connection: Connection) -> None:
        _insert(connection, item)

    return work


def get(space: str, kind: Kind, uid: str, *, field: str = "uid") -> Work[Item]:
    """Raises UnknownItem."""

    def work(connection: Connection) -> Item:
        return _one(connection, space, kind, uid, field)

    return work


def listed(space: str, kind: Kind, pipeline_uid: str = "") -> Work[list[Item]]:
    """Items of a kind, of one pipeline if it is named; newest first."""

    def work(connection: Connection) -> list[Item]:
        query = select(items).where(items.c.space == space, items.c.kind == kind.value)
        if pipeline_uid:
            query = query.where(items.c.pipeline_uid == pipeline_uid)
        query = query.order_by(items.c.created_at.desc(), items.c.uid).limit(MOST_LISTED)
        return [_item(row) for row in connection.execute(query)]

    return work


def begin_task(output: Item, needed: Mapping[str, Item]) -> Work[None]:
    """Commits with the job of ``output.task_uid``: its output, without content, and what it
    needs, by the name of the request's field. Raises UnknownItem for what has gone since."""

    def work(connection: Connection) -> None:
        for field, item in needed.items():
            _one(connection, item.space, item.kind, item.uid, field)
        _insert(connection, output)
        used = {output.uid, *(item.uid for item in needed.values())}
        lines = [
            {"task_uid": output.task_uid, "item_uid": uid, "space": output.space}
            for uid in sorted(used)
        ]
        connection.execute(insert(uses), lines)

    return work


def settle_task(task_uid: str, outcome: Content | str) -> Work[bool]:
    """A task is over: its output has its content, or the reason why it never will. What it
    needed is free. False when that was so already; the first outcome stays."""

    def work(connection: Connection) -> bool:
        values: dict[str, Any] = {"state": ItemState.FAILED.value, "reason": outcome}
        if isinstance(outcome, Content):
            values = {
                "state": ItemState.READY.value,
                "size": outcome.size,
                "sha256": outcome.sha256,
            }
        pending = update(items).where(
            items.c.task_uid == task_uid, items.c.state == ItemState.PENDING.value
        )
        changed = connection.execute(pending.values(**values)).rowcount
        connection.execute(delete(uses).where(uses.c.task_uid == task_uid))
        return changed > 0

    return work


def missing_output(task_uid: str) -> Work[Item | None]:
    """What a task has not made, or not yet; None if it has, or if that was removed since."""

    def work(connection: Connection) -> Item | None:
        query = select(items).where(items.c.task_uid == task_uid, _MISSING)
        row = connection.execute(query).one_or_none()
        return None if row is None else _item(row)

    return work


def of_task(task_uid: str) -> Work[Item | None]:
    """What a task was to make, in whatever state; None if it was removed."""

    def work(connection: Connection) -> Item | None:
        row = connection.execute(select(items).where(items.c.task_uid == task_uid)).one_or_none()
        return None if row is None else _item(row)

    return work


def missing_outputs(space: str, pipeline_uid: str) -> Work[dict[str, Item]]:
    """The same for all tasks of a pipeline, by their UIDs."""

    def work(connection: Connection) -> dict[str, Item]:
        query = select(items).where(
            items.c.pipeline_uid == pipeline_uid, items.c.space == space, _MISSING
        )
        return {row.task_uid: _item(row) for row in connection.execute(query)}

    return work


def is_free(uid: str) -> Work[bool]:
    """Whether no item has this UID."""

    def work(connection: Connection) -> bool:
        return not _is_taken(connection, uid)

    return work


def unsettled_tasks(connection: Connection) -> list[tuple[str, str]]:
    """Space and UID of each task that is not settled."""
    query = select(uses.c.space, uses.c.task_uid).distinct().order_by(uses.c.task_uid)
    return [(row.space, row.task_uid) for row in connection.execute(query)]


def remove(space: str, kind: Kind, uid: str) -> Work[Item]:
    """Raises UnknownItem, ItemInUse."""

    def work(connection: Connection) -> Item:
        item = _one(connection, space, kind, uid, "uid")
        query = select(uses.c.task_uid).where(uses.c.item_uid == uid).limit(1)
        task = connection.execute(query).scalar_one_or_none()
        if task is not None:
            raise ItemInUse(
                f"uid: task {task} needs the {kind.noun} {uid} and has not finished."
                " Delete the task first, or wait for its end."
            )
        if kind is Kind.PIPELINE:
            _require_empty(connection, item)
        connection.execute(delete(items).where(items.c.uid == uid))
        return item

    return work


def uids_by_kind(connection: Connection) -> dict[Kind, set[str]]:
    """All items of all spaces."""
    found: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for row in connection.execute(select(items.c.kind, items.c.uid)):
        found[Kind(row.kind)].add(row.uid)
    return found


def content_names(connection: Connection) -> dict[Kind, set[str]]:
    """The files of all items, of all spaces; those that tasks made by both names that they may
    have."""
    found: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    query = select(items.c.kind, items.c.uid, items.c.task_uid, items.c.sha256)
    for row in connection.execute(query):
        names = found[Kind(row.kind)]
        if row.sha256 and row.task_uid:
            names.add(f"{row.uid}-{row.sha256}")
        if row.sha256 or not row.task_uid:
            names.add(row.uid)
    return found


def _insert(connection: Connection, item: Item) -> None:
    if item.pipeline_uid:
        _one(connection, item.space, Kind.PIPELINE, item.pipeline_uid, "pipeline_uid")
    if _is_taken(connection, item.uid):
        raise ItemExists(item.uid)
    connection.execute(insert(items), _values(item))


def _is_taken(connection: Connection, uid: str) -> bool:
    return bool(connection.execute(select(exists().where(items.c.uid == uid))).scalar_one())


def _require_empty(connection: Connection, pipeline: Item) -> None:
    query = select(func.count()).where(items.c.pipeline_uid == pipeline.uid)
    count = connection.execute(query).scalar_one()
    if count:
        raise ItemInUse(
            f"uid: what belongs to the pipeline {pipeline.uid} (items: {count}) has to be deleted"
            " first."
        )


def _one(connection: Connection, space: str, kind: Kind, uid: str, field: str) -> Item:
    query = select(items).where(items.c.uid == uid)
    row = connection.execute(query).one_or_none()
    if row is None or (row.space, row.kind) != (space, kind.value):
        raise UnknownItem(kind, uid, field=field)
    return _item(row)


def _item(row: Row[Any]) -> Item:
    return Item(
        uid=row.uid,
        kind=Kind(row.kind),
        space=row.space,
        owner=row.owner,
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        pipeline_uid=row.pipeline_uid,
        extension=row.extension,
        details=json.loads(row.details),
        state=ItemState(row.state),
        reason=row.reason,
        task_uid=row.task_uid,
        content=None if row.size is None else Content(row.size, row.sha256),
    )


def _values(item: Item) -> dict[str, Any]:
    return {
        "uid": item.uid,
        "kind": item.kind.value,
        "space": item.space,
        "owner": item.owner,
        "name": item.name,
        "description": item.description,
        "created_at": item.created_at,
        "pipeline_uid": item.pipeline_uid,
        "extension": item.extension,
        "details": json.dumps(dict(item.details)),
        "state": item.state.value,
        "reason": item.reason,
        "task_uid": item.task_uid,
        "size": item.content.size if item.content else None,
        "sha256": item.content.sha256 if item.content else "",
    }
