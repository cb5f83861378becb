"""Parts of a start's body."""

from __future__ import annotations

from typing import Any

from ocean_consumer import ALGORITHM, CONTAINER, DATA

PUBLISHED = {"documentId": ALGORITHM, "serviceId": "access"}


def dataset(did: str = DATA, service_id: str = "compute", **fields: Any) -> dict[str, Any]:
    return {"documentId": did, "serviceId": service_id, **fields}


def raw(code: Any = "print(1)", **container: Any) -> dict[str, Any]:
    return {"meta": {"rawcode": code, "container": {**CONTAINER, **container}}}
