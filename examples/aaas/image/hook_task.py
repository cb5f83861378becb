"""Count through a range, with a pause at each step, and tell when each one was made.

Arguments come in ``algoCustomData.json``, by dotted name in ``bind_arg``; what came in a query
is a text. What is written to ``response.json`` comes back as the task's ``task_resp``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

RANGE = "example_task.range"
STATE = "example_task.check_state.pause"


def arguments() -> dict[str, Any]:
    path = Path(os.environ["INPUTS"]) / "algoCustomData.json"
    bound: dict[str, Any] = json.loads(path.read_text())["bind_arg"]
    return bound


def ended(number: int, frame: object) -> None:
    print("told to end", flush=True)
    sys.exit(128 + number)


def main() -> None:
    signal.signal(signal.SIGTERM, ended)
    bound = arguments()
    start, end = int(bound[f"{RANGE}.start"]), int(bound[f"{RANGE}.end"])
    pause = float(bound[STATE])
    if end < start:
        raise ValueError(f"the range ends at {end}, before its start at {start}")
    print(f"counting from {start} to {end}", flush=True)
    steps: dict[str, Any] = {}
    for step, number in enumerate(range(start, end), 1):
        time.sleep(pause)
        print(f"step {step}: {number}", flush=True)
        steps[str(step)] = {
            "from": "ExampleTask.check_state",
            "step": step,
            "number": number,
            "time": time.time(),
        }
    response = Path(os.environ["OUTPUTS"]) / "response.json"
    response.write_text(json.dumps({"hi": steps}))
    print("done", flush=True)


if __name__ == "__main__":
    main()
