"""Print what the package needs, one requirement a line.

    requirements.py FOLDER runtime      to run
    requirements.py FOLDER build        to be built

The Dockerfile and scripts/images.sh install these before the package itself, so that a
change of the code does not install them again. FOLDER is the checkout.
"""

from __future__ import annotations

import configparser
import sys
import tomllib
from pathlib import Path


def runtime(root: Path) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    return [line for line in setup["options"]["install_requires"].split("\n") if line.strip()]


def build(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["build-system"]["requires"])


if __name__ == "__main__":
    folder, purpose = sys.argv[1:]
    print("\n".join({"runtime": runtime, "build": build}[purpose](Path(folder))))
