"""The parts of the example's pipeline: what is registered, and what the three tasks ask for."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from provider.apikeys import hash_key, new_key

HERE = Path(__file__).parent

ACCESS_KEY = "user1"
SECRET_KEY = new_key()
CONFIG: dict[str, Any] = {"environment": "small", "users": {ACCESS_KEY: hash_key(SECRET_KEY)}}
"""The dialect's section of dialects.yaml; the environment has to allow builds."""

BUILDS = {
    "download": ("download", "download/Dockerfile", "download/fetch.py"),
    "preprocess": ("running", "preprocess/Dockerfile", "preprocess/preprocess.py"),
    "train": ("running", "train/Dockerfile", "train/train.py", "train/regression.py"),
    "optimize": ("running", "optimize/Dockerfile", "optimize/optimize.py", "train/regression.py"),
    "upload": ("upload", "upload/Dockerfile", "upload/deliver.py"),
}
"""By name: where in a task the build file belongs, and what its context is made of."""

CONFIGS: dict[str, dict[str, Any]] = {
    "preprocess": {"missing": "-999", "seed": 1, "train_share": 0.6},
    "train": {"epochs": 60, "rate": 0.1, "penalty": 0.1},
    "optimize": {"epochs": 120, "rates": [0.5, 1.0], "penalties": [0.0, 0.01]},
}


def context(files: tuple[str, ...]) -> bytes:
    """A zip of these files without their folders."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(HERE / file, Path(file).name)
    return out.getvalue()


def config(name: str) -> bytes:
    return json.dumps(CONFIGS[name], indent=2).encode()


DATASET_WISH = {
    "dataset_name": "prepared readings",
    "dataset_type": "training",
    "dataset_file_extension": "zip",
}


def model_wish(name: str) -> dict[str, str]:
    return {
        "model_name": name,
        "model_type": "default",
        "model_input_format": "float32",
        "model_output_format": "float32",
        "model_file_extension": "zip",
    }
