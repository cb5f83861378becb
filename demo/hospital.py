"""The provider's side of the demo: a hospital with a table that must not leave it.

Makes everything an operator would make by hand (table, DDO, environments.yaml, key) in a
working folder, and runs the service as its own process, the way an operator runs it.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from demo.processes import answers, free_port, make_key, service

DID = "did:op:" + hashlib.sha256(b"breast cancer table of the demo").hexdigest()
SERVICE_ID = "compute"
ENVIRONMENT = "hospital"
FEATURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
STATISTICS = ("mean", "error of", "worst")
DIAGNOSES = ("malignant", "benign")


class Hospital:
    """The working folder, and the service over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "provider.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = folder / "provider"

    def furnish(self, source: Path, consumer: str) -> int:
        """Write the operator's files; ``consumer`` is the one wallet that may use them.

        ``source`` is scikit-learn's own table. Returns the number of patients.
        """
        for name in ("assets", "files", "provider"):
            (self.folder / name).mkdir(parents=True)
        patients = _write_table(source, self.folder / "files" / "patients.csv")
        ddo = json.dumps(document(consumer, self.url), indent=2)
        (self.folder / "assets" / "patients.json").write_text(ddo)
        (self.folder / "environments.yaml").write_text(environments(consumer))
        make_key(self.folder / "provider.key")
        return patients

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The service, from the moment it answers until it has ended and left nothing."""
        async with service(self.folder, "provider", ["serve"], self._variables()) as process:
            await answers(process, self.url)
            yield
        shutil.rmtree(self._data)

    def _variables(self) -> dict[str, str]:
        return {
            "PROVIDER_PRIVATE_KEY_FILE": str(self.folder / "provider.key"),
            "ENVIRONMENTS_FILE": str(self.folder / "environments.yaml"),
            "ASSETS_DIR": str(self.folder / "assets"),
            "FILES_DIR": str(self.folder / "files"),
            "DATA_DIR": str(self._data),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": str(self.port),
            "PUBLIC_URL": self.url,
        }


def document(consumer: str, url: str) -> dict[str, object]:
    """The asset as its publisher describes it: who may compute on it, and what."""
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": DID,
        "version": "4.1.0",
        "metadata": {
            "created": "2025-01-01T00:00:00Z",
            "updated": "2025-01-01T00:00:00Z",
            "type": "dataset",
            "name": "Breast cancer, 569 patients",
            "description": "Measurements of cell nuclei, and the diagnosis",
            "author": "UCI Machine Learning Repository",
            "license": "CC BY 4.0",
        },
        "services": [
            {
                "id": SERVICE_ID,
                "type": "compute",
                "serviceEndpoint": url,
                "timeout": 0,
                "files": {"files": [{"type": "localfile", "path": "patients.csv"}]},
                "compute": {"allowRawAlgorithm": True, "allowNetworkAccess": False},
            }
        ],
        "credentials": {"allow": [{"type": "address", "values": [consumer]}], "deny": []},
    }


def environments(consumer: str) -> str:
    return f"""\
environments:
  - id: {ENVIRONMENT}
    description: One processor beside the data, no network
    cpu: 1
    ramGB: 1
    diskGB: 0.25
    maxJobs: 2
    maxJobDuration: 600
    stopGrace: 1.0
    images:
      allow: ["ocean-compute-demo/*"]
      pull: never
    consumers:
      allow: ["{consumer}"]
"""


def _write_table(source: Path, target: Path) -> int:
    """Give scikit-learn's table (two numbers and two words first, no names) a header."""
    with source.open(newline="") as lines, target.open("w", newline="") as out:
        table = csv.reader(lines)
        next(table)
        rows = [[*measured, DIAGNOSES[int(diagnosis)]] for *measured, diagnosis in table]
        writer = csv.writer(out)
        writer.writerow(
            [*(f"{kind} {name}" for kind in STATISTICS for name in FEATURES), "diagnosis"]
        )
        writer.writerows(rows)
    target.chmod(0o644)
    return len(rows)
