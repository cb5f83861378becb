"""Made-up posts of a made-up forum: the same ones each time, about three things.

The table is the same for SQLite and MySQL; who makes it brings the connection.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

TABLE = "ts_page_content"
COLUMNS = "id, author, title, content, post_time"
COUNT = 2000
START, END = "2020-01-01", "2021-01-01"

KEYWORDS = {"coffee": ["espresso", "latte"], "cycling": ["bicycle", "gear"], "rain": ["umbrella"]}

_THINGS = ("espresso", "a flat white", "Latte", "my bicycle", "a new gear", "an umbrella", "bread")
_VERBS = ("I like", "does anyone sell", "never again", "who else has", "today I saw")
_PLACES = ("at the harbour", "in the old town", "on the hill", "near the station")


class Post(NamedTuple):
    id: int
    author: str
    title: str
    content: str
    post_time: str


def posts(count: int = COUNT) -> Iterator[Post]:
    """Posts over one year, by about 300 authors."""
    chance = random.Random(2020)  # noqa: S311 (posts are no secret)
    first = datetime.fromisoformat(START)
    step = (datetime.fromisoformat(END) - first) / count
    for number in range(count):
        thing, place = chance.choice(_THINGS), chance.choice(_PLACES)
        moment = first + timedelta(seconds=int((step * number).total_seconds()))
        yield Post(
            number + 1,
            f"author_{chance.randrange(300)}",
            f"About {thing}",
            f"{chance.choice(_VERBS)} {thing} {place}",
            moment.isoformat(sep=" "),
        )


def create_statement(table: str = TABLE) -> str:
    return (
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, author VARCHAR(100), title VARCHAR(200),"
        " content TEXT, post_time DATETIME NOT NULL)"
    )


def make_file(path: Path, listed: Iterable[Post] | None = None) -> None:
    """A SQLite database with the posts, or with those that are listed."""
    with sqlite3.connect(path) as database:
        database.execute(create_statement())
        database.execute(f"CREATE INDEX by_time ON {TABLE} (post_time, id)")
        insert = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
        database.executemany(insert, posts() if listed is None else listed)
    database.close()
