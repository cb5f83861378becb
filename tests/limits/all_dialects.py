"""One short section of each further API, and how each tells an error."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from support.service import IMAGE

from provider.apikeys import hash_key

Json = dict[str, Any]
SHELL = f"{IMAGE}:1"
USER, KEY = "someone", "k" * 32


def sections(folder: Path) -> Json:
    database = folder / "forum.db"
    sqlite3.connect(database).close()
    return {
        "gbuilder": {"environment": "test", "image": SHELL, "entrypoint": "true"},
        "pipelines": {"environment": "test", "users": {USER: hash_key(KEY)}},
        "labelling": {
            "environment": "test",
            "image": SHELL,
            "entrypoint": "true",
            "files": {"forum": str(database)},
        },
        "aaas": {
            "environment": "test",
            "modules": {"lab": {"count": {"image": SHELL, "entrypoint": "true"}}},
        },
    }


ASKED = {
    "/api/services/nonce?userAddress=0x" + "11" * 20: {"error"},
    "/gbuilder/status": {"status", "error"},
    "/labelling/api/tasks/": {"detail"},
    "/aaas/auto/all_task": {"code", "msg"},
    "/nowhere": {"error"},
}
"""A question to each, and the fields of a refusal."""
