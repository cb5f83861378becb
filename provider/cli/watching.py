"""What is shown while there is something to wait for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provider.cli.output import messages_console, say, when
from provider.client.errors import plain
from provider.client.models import HELD

if TYPE_CHECKING:
    from provider.client.models import Job, Result


_RULES_SHOWN = 4


async def watch(changes: AsyncIterator[Job]) -> Job:
    """Tell each change on stderr; gives the finished job.

    On a terminal the present status stands in a live line, past ones above it.
    """
    console = messages_console()
    begun = time.monotonic()
    job: Job | None = None
    if not console.is_terminal:
        async for job in changes:
            say(_line(job, begun))
    else:
        from rich.text import Text

        with console.status("") as live:
            async for job in changes:
                console.print(Text(_line(job, begun)))
                live.update(Text(describe(job)))
    assert job is not None
    return job


def describe(job: Job) -> str:
    """A job's status in a few words, why if it failed, and what it waits for in the queue."""
    words = f"{job.status} {plain(job.status_text, 100)}"
    if job.waits_for and not job.finished:
        return f"{words} ({plain(job.waits_for, 200)})"
    if job.status == HELD:
        return f"{words}{_held(job)}"
    if not job.failed:
        return words
    more = [plain(job.reason, 60)] if job.reason else []
    if job.exit_code:
        more.append(f"exit code {job.exit_code}")
    return f"{words} ({', '.join(more)})" if more else words


def _held(job: Job) -> str:
    """Until when results wait for a reviewer, and because of which rules."""
    told = [f"until {when(job.held_until)}"] if job.held_until is not None else []
    told += [plain(rule, 100) for rule in job.held_by[:_RULES_SHOWN]]
    return f" ({'; '.join(told)})" if told else ""


def _line(job: Job, begun: float) -> str:
    return f"{time.monotonic() - begun:7.1f} s  {describe(job)}"


@contextmanager
def transfer_bars() -> Iterator[Callable[[Result, int, int | None], None]]:
    """Gives a progress callback that draws a bar for each result, on a terminal only."""
    console = messages_console()
    if not console.is_terminal:
        yield lambda result, done, total: None
        return
    from rich import progress as rich_progress
    from rich.text import Text

    class Name(rich_progress.ProgressColumn):
        """The file's name, which is text and never markup."""

        def render(self, task: rich_progress.Task) -> Text:
            return Text(task.description)

    bars: dict[int, rich_progress.TaskID] = {}
    columns = (
        Name(),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
    )
    with rich_progress.Progress(*columns, console=console) as progress:

        def told(result: Result, done: int, total: int | None) -> None:
            if result.index not in bars:
                bars[result.index] = progress.add_task(plain(result.filename, 60))
            progress.update(bars[result.index], completed=done, total=total)

        yield told
