"""How the tests have the pipelines API served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline_caller import ACCESS_KEY, SECRET_KEY
from support.service import Service

from provider.apikeys import hash_key

SECTION: dict[str, Any] = {
    "environment": "test",
    "users": {ACCESS_KEY: hash_key(SECRET_KEY), "user2": hash_key("other")},
    "maxUploadMB": 1,
    "maxExpandedMB": 20,
}


def a_service(root: Path, section: dict[str, Any]) -> Service:
    service = Service(root)
    images = {"allow": ["ocean-compute-test/*"], "pull": "never", "build": True}
    service.environments({"images": images, "maxJobs": 2})
    service.dialects({"pipelines": section})
    return service


def end(service: Service) -> None:
    """End it, and take away what would be left in the engine."""
    service.stop()
    service.sweep()
