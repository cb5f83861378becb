"""Print what the package needs to be built and to run, one requirement a line.

The Dockerfile and scripts/images.sh install these before the package itself, so that a
change of the code does not install them again. Argument: the folder of the checkout.
"""

from __future__ import annotations

import configparser
import sys
import tomllib
from pathlib import Path


def requirements(root: Path) -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = setup["options"]["install_requires"].split("\n")
    return [line for line in (*runtime, *project["build-system"]["requires"]) if line.strip()]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]))))
