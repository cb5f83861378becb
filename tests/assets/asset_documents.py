"""Neutral asset documents of version 4.1.0 for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA_NFT = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
DATATOKEN = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
PUBLISHER = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
WALLET = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"
DATASET = "did:op:" + "a1" * 32
ALGORITHM = "did:op:" + "b2" * 32


def url_file(url: str = "https://files.example.com/table.csv", **more: Any) -> dict[str, Any]:
    return {"type": "url", "url": url, "method": "GET", **more}


def compute_rules(**changes: Any) -> dict[str, Any]:
    rules = {
        "allowRawAlgorithm": False,
        "allowNetworkAccess": False,
        "publisherTrustedAlgorithms": [],
        "publisherTrustedAlgorithmPublishers": [],
    }
    return {**rules, **changes}


def service(kind: str = "compute", **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": "compute-1",
        "type": kind,
        "name": "Computation",
        "description": "Run algorithms beside the table",
        "files": [url_file()],
        "datatokenAddress": DATATOKEN,
        "serviceEndpoint": "https://provider.example.com",
        "timeout": 3600,
    }
    if kind == "compute":
        fields["compute"] = compute_rules()
    return {**fields, **changes}


def dataset(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "@context": ["https://w3id.org/did/v1"],
        "id": DATASET,
        "version": "4.1.0",
        "chainId": 8996,
        "nftAddress": DATA_NFT,
        "metadata": {
            "created": "2024-01-01T00:00:00Z",
            "updated": "2024-01-01T00:00:00Z",
            "type": "dataset",
            "name": "Measurements",
            "description": "A table of measurements",
            "author": "Example Institute",
            "license": "CC0-1.0",
        },
        "credentials": {"allow": [], "deny": []},
        "services": [service()],
        "nft": {"address": DATA_NFT, "name": "Data NFT", "owner": PUBLISHER, "state": 0},
    }
    return {**fields, **changes}


def algorithm(**changes: Any) -> dict[str, Any]:
    about = {
        "type": "algorithm",
        "name": "Mean",
        "algorithm": {
            "language": "python",
            "version": "1.0",
            "container": {
                "entrypoint": "python $ALGO",
                "image": "example/python",
                "tag": "3.11",
                "checksum": "sha256:" + "c3" * 32,
            },
            "consumerParameters": [{"name": "depth", "type": "number", "default": "3"}],
        },
    }
    files = [url_file("https://files.example.com/mean.py")]
    fields = {
        "id": ALGORITHM,
        "metadata": {**dataset()["metadata"], **about},
        "services": [service("access", id="access-1", files=files)],
    }
    return dataset(**{**fields, **changes})


def write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
