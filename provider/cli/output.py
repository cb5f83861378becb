"""Where output goes: results to stdout, everything else to stderr; and exit codes.

Names, texts and logs come from strangers: nothing of them reaches a terminal as markup
or as a control sequence.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from typer import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from provider.client.errors import ComputeClientError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_AUTHORISED = 3
EXIT_NOT_FOUND = 4
EXIT_UNREACHABLE = 5
EXIT_INTERRUPTED = 130

_SHORT_WORD = 11
"""Letters of a word that no table breaks."""


def print_line(text: str) -> None:
    """A line of results."""
    sys.stdout.write(text + "\n")


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=not _utf8()) + "\n")


def say(text: str) -> None:
    """A message to the person, not part of the output."""
    sys.stderr.write(text + "\n")


def leave(text: str, code: int) -> NoReturn:
    """End the command with a message."""
    say(text)
    raise Exit(code)


def exit_code(error: ComputeClientError) -> int:
    """The exit code that tells this error."""
    from provider.client import chain_node, errors

    kinds: list[tuple[type[ComputeClientError], int]] = [
        (errors.ClientUsageError, EXIT_USAGE),
        (errors.NotAuthorisedError, EXIT_NOT_AUTHORISED),
        (errors.NotFoundError, EXIT_NOT_FOUND),
        (errors.ProviderUnreachableError, EXIT_UNREACHABLE),
        (chain_node.ChainUnreachableError, EXIT_UNREACHABLE),
    ]
    return next((code for kind, code in kinds if isinstance(error, kind)), EXIT_FAILED)


def messages_console() -> Console:
    """For progress bars and live lines, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def when(seconds: float | None) -> str:
    """A time as the reader's clock shows it."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout; plain columns where it is no terminal.

    The first column holds what other commands want: it stays whole on a narrow terminal. In
    the others short words do.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print_line("\t".join(row))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    whole = max((cell_len(row[0]) for row in rows), default=0)
    for position, column in enumerate(columns):
        words = " ".join([column, *(row[position] for row in rows)]).split()
        word = max((n for n in map(cell_len, words) if n <= _SHORT_WORD), default=1)
        width = whole if position == 0 else word
        table.add_column(column, no_wrap=position == 0, min_width=width, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
