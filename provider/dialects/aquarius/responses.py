"""What goes back to clients of a metadata cache. Pure.

Documents are foreign, so JSON is written in ASCII: they may hold characters that no UTF-8 can.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from provider.assets.ddo import is_sealed
from provider.assets.validation import Fault, Proof

SHOWN_DID_CHARACTERS = 120


def dumps(value: Any) -> str:
    """Compact JSON with a final newline."""
    return json.dumps(value, separators=(",", ":")) + "\n"


def not_found(did: str, problem: str = "") -> dict[str, Any]:
    """ocean.py takes an asset for published already unless it finds this very text.

    ``problem`` is why an asset that is on chain cannot be shown.
    """
    text = did[:SHOWN_DID_CHARACTERS]
    error = {"error": f"Asset DID {text} not found in Elasticsearch"}
    return error | ({"problem": problem} if problem else {})


def public(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without file objects that a publisher forgot to seal: they name where data lies."""
    services = document.get("services")
    if not isinstance(services, list):
        return dict(document)
    return {**document, "services": [_public_service(each) for each in services]}


def _public_service(service: Any) -> Any:
    if not isinstance(service, Mapping) or is_sealed(service.get("files", "0x0")):
        return service
    return {**service, "files": ""}


def proof(given: Proof) -> dict[str, Any]:
    """The proof that a document was validated: ``r`` and ``s`` are lists of one."""
    return {
        "hash": given.hash,
        "publicKey": given.validator,
        "v": given.v,
        "r": [given.r],
        "s": [given.s],
    }


def faults(found: Iterable[Fault]) -> dict[str, Any]:
    """An object and no list, since ocean.py looks for a hash in it."""
    return {"errors": [{"path": fault.path, "message": fault.message} for fault in found]}


def hits(total: int, documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Documents that a query found, and how many there are in all."""
    listed = [{"_id": document.get("id"), "_source": document} for document in documents]
    return {"hits": {"total": {"value": total, "relation": "eq"}, "hits": listed}}
