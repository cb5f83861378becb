"""The labelling API at work: a year of posts is labelled by keywords, while one looks on.

The posts lie in a database file that the operator offers; with ``site`` (a SITE_CONFIG) the
same is done on a MySQL or MariaDB server that has the table already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from examples.labelling import posts

IMAGE = "ocean-compute-demo/labelling:1"
DATABASE = "forum"
CONFIG: Mapping[str, Any] = {"environment": "small", "image": IMAGE, "batchRows": 20}
"""The section without its databases: ``furnish`` adds one."""

SITE = {"drivername": "sqlite", "db": DATABASE}
PATIENCE_S = 120.0

Say = Callable[[str], None]
Json = dict[str, Any]


class LabellingDemoError(Exception):
    """The demo cannot go on; the text says why."""


def furnish(folder: Path) -> Json:
    """What an operator does: the database file, and the section of the dialects file."""
    path = folder.resolve() / "forum.sqlite"
    path.unlink(missing_ok=True)
    posts.make_file(path)
    return {**CONFIG, "files": {DATABASE: str(path)}}


def request(site: Mapping[str, Any] | None = None) -> Json:
    """The body that starts the labelling."""
    chosen = dict(site or SITE)
    return {
        "MODEL_TYPE": "keyword_model",
        "PREDICT_TYPE": "content",
        "START_TIME": posts.START,
        "END_TIME": posts.END,
        "PATTERN": posts.KEYWORDS,
        "INPUT_SCHEMA": chosen["db"],
        "INPUT_TABLE": posts.TABLE,
        "OUTPUT_SCHEMA": "audience_result",
        "COUNTDOWN": 0,
        "QUEUE": "queue1",
        "SITE_CONFIG": chosen,
    }


async def run(
    url: str,
    session: ClientSession,
    say: Say,
    *,
    mount: str = "/labelling",
    site: Mapping[str, Any] | None = None,
) -> Json:
    """Create, look on, take a sample, see the end. ``url`` is the service's. Returns the last
    state. Raises LabellingDemoError."""
    tasks = f"{url}{mount}/api/tasks"
    created = await _told(session, "POST", f"{tasks}/", request(site))
    task = f"{tasks}/{created['task_id']}"
    say(f"task {created['task_id']}: posts of {created['date_range']}")
    state = await _until(session, task, lambda row: bool(row["length_output_table"]))
    say(
        f"{state['stat']}: {state['length_receive_table']} posts read,"
        f" {state['length_output_table']} labelled so far"
    )
    for row in (await _told(session, "GET", f"{task}/sample/"))[:3]:
        say(f"  sample: {row['source_author']} is about {row['label']} ({row['matched']})")
    state = await _until(session, task, lambda row: row["prod_stat"] is not None)
    say(
        f"{state['stat']}, {state['prod_stat']}: {state['length_output_table']} of"
        f" {state['length_receive_table']} posts labelled,"
        f" {state['length_prod_table']} of {state['uniq_source_author']} authors"
        f" ({state['rate_of_label']} %), {state['peak_memory']} MiB, in {state['result']}"
    )
    return state


async def _until(session: ClientSession, task: str, done: Callable[[Json], bool]) -> Json:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            row: Json = await _told(session, "GET", task)
            if row["stat"] in {"FAILURE", "BREAK"}:
                raise LabellingDemoError(f"{row['stat']}: {row['error_message']}")
            if done(row) or row["prod_stat"] is not None:
                return row
            await asyncio.sleep(0.05)


async def _told(session: ClientSession, method: str, url: str, body: Json | None = None) -> Any:
    async with session.request(method, url, json=body) as response:
        answer = await response.json()
    if response.status != 200 or answer["error_code"] != 200:
        raise LabellingDemoError(f"{method} {url} answered {response.status}: {answer}")
    return answer["error_message"]
