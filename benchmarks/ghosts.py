"""``serve`` as it is, over containers that only seem to run: the engine of the tests.

A real engine starts a few containers a second; here one that only has to be remembered runs
a program of this process, so that ten thousand jobs pass through the service in minutes. What
the engine of the tests keeps for its tests alone, lists of all calls and starts, is not kept
here: it would be taken for the service's memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from compute.engines.fake import FakeEngine, FakeRun
from provider.serving import serve
from provider.settings import Settings

IMAGE, TAG = "ghosts/program", "1"


async def program(run: FakeRun) -> int:
    """Prints a line, writes a file, and is done."""
    run.print("computed")
    outputs = run.path("/data/outputs")
    Path(outputs, "result.txt").write_text("42\n")
    return 0


class Ghosts(FakeEngine):
    async def before(self, verb: str, name: str) -> None:
        self.calls.clear()

    async def remove(self, name: str) -> None:
        await super().remove(name)
        self.world.starts.pop(name, None)


def main() -> int:
    engine = Ghosts()
    engine.world.add_image(f"{IMAGE}:{TAG}", program)
    return serve(Settings.from_environ(), engine=engine)


if __name__ == "__main__":
    sys.exit(main())
