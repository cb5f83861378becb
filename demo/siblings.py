"""Four other job APIs on one engine: an example of each, by plain HTTP.

One service serves all of them, as its operator would have it: a dialects file, one
environment, no wallet. Run it by ``make demo-siblings``, which sees to engine and images.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from rich.console import Console

from demo.processes import (
    DemoFailedError,
    answers,
    clear,
    free_port,
    make_key,
    service,
    show_log,
    sweep,
)
from examples.aaas import demo as aaas
from examples.gbuilder import demo as gbuilder
from examples.labelling import demo as labelling
from examples.pipelines import demo as pipelines

ENVIRONMENT = {
    "id": "small",
    "description": "One processor, no network; images of users may be built",
    "cpu": 1,
    "ramGB": 0.5,
    "diskGB": 0.1,
    "maxJobs": 2,
    "maxJobDuration": 300,
    "images": {"allow": ["ocean-compute-demo/*", "python:3.*"], "pull": "never", "build": True},
}

Say = Callable[[str], None]
Story = Callable[[str, aiohttp.ClientSession, Say], Awaitable[object]]

console = Console(highlight=False)


async def _gbuilder(url: str, session: aiohttp.ClientSession, say: Say) -> None:
    await gbuilder.run(f"{url}/gbuilder", session, say)


async def _aaas(url: str, session: aiohttp.ClientSession, say: Say) -> None:
    await aaas.run(f"{url}/aaas", session, say)


STORIES: Mapping[str, tuple[str, Story]] = {
    "gbuilder": ("gBuilder endpoint: names in lines of text", _gbuilder),
    "pipelines": ("Pipeline tasks: preprocess, train, optimize", pipelines.run),
    "labelling": ("Labelling tasks: rows of a database table", labelling.run),
    "aaas": ("aaas: a registered function", _aaas),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=Path("demo-out"), type=Path)
    parser.add_argument("--only", choices=STORIES, help="one of the examples")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    clear(folder)
    names = [arguments.only] if arguments.only else list(STORIES)
    try:
        asyncio.run(tell(folder, names))
        if left := sweep(folder):
            raise DemoFailedError(f"left over: {', '.join(left)}")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # each example has errors of its own; all of them end the demo
        show_log(console, folder / "provider.log")
        console.print(f"[bold red]The demo failed:[/] {type(error).__name__}: {error}")
        sys.exit(1)
    finally:
        sweep(folder)
    console.print("\nThe service has ended. No container, mount or job folder is left.")


async def tell(folder: Path, names: list[str]) -> None:
    """Each example's story, told to one service."""
    async with _serving(folder) as url, aiohttp.ClientSession() as session:
        for name in names:
            title, story = STORIES[name]
            console.print(f"\n[bold cyan]{title}[/]")
            await story(url, session, _say)


@contextlib.asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[str]:
    """The service with all four, from the moment it answers until it has ended."""
    _write(folder / "environments.yaml", {"environments": [ENVIRONMENT]})
    _write(folder / "dialects.yaml", {"dialects": _sections(folder)})
    (folder / "assets").mkdir()
    make_key(folder / "provider.key")
    port = free_port()
    variables = {
        "PROVIDER_PRIVATE_KEY_FILE": str(folder / "provider.key"),
        "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
        "DIALECTS_FILE": str(folder / "dialects.yaml"),
        "ASSETS_DIR": str(folder / "assets"),
        "DATA_DIR": str(folder / "provider"),
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    async with service(folder, "provider", ["serve"], variables) as process:
        await answers(process, url)
        yield url
    shutil.rmtree(folder / "provider")


def _sections(folder: Path) -> dict[str, Any]:
    return {
        "gbuilder": dict(gbuilder.CONFIG),
        "pipelines": dict(pipelines.CONFIG),
        "labelling": dict(labelling.furnish(folder)),
        "aaas": dict(aaas.CONFIG),
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _say(text: str) -> None:
    console.print(f"  {text}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
