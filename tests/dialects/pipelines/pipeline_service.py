"""How the tests have the pipelines API served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline_caller import ACCESS_KEY, SECRET_KEY
from support.service import Service, engine

from compute.engines.base import OPERATOR_LABEL
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
    """End it, and take away what would be left in the engine: images stay as long as their
    build files do."""
    service.stop()
    service.sweep()
    with engine() as client:
        for name in built_images(service):
            client.remove_image(name, force=True)


def built_images(service: Service) -> set[str]:
    """What the service's builds have left in the engine."""
    label = f"{OPERATOR_LABEL}={service.operator_id()}"
    with engine() as client:
        return {tag for each in client.images(filters={"label": label}) for tag in each["RepoTags"]}
