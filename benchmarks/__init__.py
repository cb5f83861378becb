"""Speed against references measured in the same run. `make bench`."""

import sys
from pathlib import Path

# What the tests have of helpers serves here too.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
