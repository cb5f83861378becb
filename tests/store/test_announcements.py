"""What is announced is heard once it is on disk, and only then."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from compute.store.base import LONGEST_ANNOUNCEMENT, Database, Work, after_commit, announce

PATIENCE_S = 60.0


def announcing(text: str) -> Work[None]:
    return lambda connection: announce(connection, text)


async def heard_all(heard: list[str], *texts: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while heard != list(texts):
            await asyncio.sleep(0.001)


async def test_announcements_are_heard_in_order_by_all_who_listen(database: Database) -> None:
    first: list[str] = []
    second: list[str] = []
    database.hear(first.append)
    database.hear(second.append)

    def several(connection: Connection) -> None:
        announce(connection, "job:1")
        announce(connection, "job:2")

    await database.write(several)
    await database.write(announcing("job:3"))
    await heard_all(first, "job:1", "job:2", "job:3")
    await heard_all(second, "job:1", "job:2", "job:3")


async def test_memory_is_up_to_date_when_an_announcement_is_heard(database: Database) -> None:
    done: list[str] = []
    database.hear(done.append)

    def work(connection: Connection) -> None:
        announce(connection, "told")
        after_commit(connection, lambda: done.append("acted"))

    await database.write(work)
    await heard_all(done, "acted", "told")


async def test_nothing_is_heard_of_what_was_rolled_back(database: Database) -> None:
    heard: list[str] = []
    database.hear(heard.append)

    def failing(connection: Connection) -> None:
        announce(connection, "never")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(failing)
    await database.write(announcing("kept"))
    await heard_all(heard, "kept")


async def test_who_stopped_listening_hears_nothing_more(database: Database) -> None:
    heard: list[str] = []
    gone: list[str] = []
    database.hear(heard.append)
    stop = database.hear(gone.append)
    await database.write(announcing("one"))
    await heard_all(gone, "one")
    stop()
    stop()
    await database.write(announcing("two"))
    await heard_all(heard, "one", "two")
    assert gone == ["one"]


@pytest.mark.parametrize("text", ["", "x" * (LONGEST_ANNOUNCEMENT + 1), "é" * 101])
async def test_a_text_that_cannot_be_announced_is_refused(database: Database, text: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 bytes"):
        await database.write(announcing(text))
