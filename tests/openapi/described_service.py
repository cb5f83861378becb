"""A service with all of its APIs mounted, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.service import IMAGE, Service

from provider.apikeys import hash_key

Json = dict[str, Any]
USER, SECRET, DOOR_KEY = "alice", "a secret of her own", "the-key-of-this-door"


def sections(root: Path) -> Json:
    """All four; one of them behind a key."""
    database = root / "forum.sqlite"
    database.write_bytes(b"")
    image = f"{IMAGE}:1"
    return {
        "gbuilder": {"environment": "test", "image": image, "entrypoint": "true"},
        "pipelines": {
            "environment": "test",
            "users": {USER: hash_key(SECRET)},
            "keys": {"door": hash_key(DOOR_KEY)},
        },
        "labelling": {
            "environment": "test",
            "image": image,
            "entrypoint": "true",
            "files": {"forum": str(database)},
        },
        "aaas": {
            "environment": "test",
            "modules": {"lab": {"count": {"image": image, "entrypoint": "true"}}},
        },
    }


@contextmanager
def running(root: Path) -> Iterator[Service]:
    """The service; at the end its log has no trace of a fault."""
    service = Service(root / "described")
    service.environments({"id": "test"}, {"id": "small"})
    service.dialects(sections(root))
    # Hundreds of requests a second are what the tests are for.
    asyncio.run(service.start(REQUESTS_PER_ADDRESS="0", REQUESTS_PER_WALLET="0"))
    try:
        yield service
        service.stop()
        assert "Traceback" not in service.log(), service.log()[-5000:]
    finally:
        service.stop()
        service.sweep()
