"""Which containers of jobs the engine starts, heard as it happens.

Looking back is no proof: an engine remembers its last 256 events, and many tests at once make
as many within seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import docker
import pytest

from compute.engines.base import JOB_LABEL, OPERATOR_LABEL
from support.service import engine

HEARD_S = 60


class Starts:
    """All starts from when this is opened (``hearing``) on."""

    def __init__(self) -> None:
        self._told: list[dict[str, str]] = []
        self._marks: dict[str, threading.Event] = {}

    def of_jobs(self, operator_id: str = "") -> dict[str, int]:
        """How often a container of each job was started until now; of one operator's jobs."""
        return dict(Counter(each[JOB_LABEL] for each in self._of(operator_id)))

    def of_containers(self, operator_id: str) -> dict[str, int]:
        """How often each container of an operator was started until now, by its name."""
        return dict(Counter(each["name"] for each in self._of(operator_id)))

    def listen(self, events: Any) -> None:
        """Take what is told until the stream is closed."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            for event in events:
                actor = event["Actor"]
                if event["Type"] == "volume" and actor["ID"] in self._marks:
                    self._marks[actor["ID"]].set()
                elif event["Action"] == "start" and JOB_LABEL in actor["Attributes"]:
                    self._told.append(actor["Attributes"])

    def _of(self, operator_id: str) -> list[dict[str, str]]:
        self._catch_up()
        return [each for each in self._told if operator_id in {"", each.get(OPERATOR_LABEL)}]

    def _catch_up(self) -> None:
        """Events keep their order: what came before one of our own was heard before it."""
        mark = f"ocean-compute-test-{uuid4().hex}"
        heard = self._marks[mark] = threading.Event()
        with engine() as client:
            client.create_volume(mark)
            client.remove_volume(mark)
        assert heard.wait(HEARD_S), "the engine tells nothing"


@pytest.fixture
def starts() -> Iterator[Starts]:
    """Heard from before the test begins until it ends."""
    told = Starts()
    client = docker.APIClient(version="auto")
    filters = {"event": ["start", "create"], "type": ["container", "volume"]}
    events = client.events(since=int(time.time()), filters=filters, decode=True)
    thread = threading.Thread(target=told.listen, args=(events,), name="test-starts")
    thread.start()
    yield told
    events.close()
    thread.join(HEARD_S)
    client.close()
