"""``serve`` or ``operate`` as ``python -m provider`` runs them, but with short leases on jobs:
whether another process takes a job over is then seen in seconds."""

from __future__ import annotations

import sys

from compute.lease import Terms
from provider.operating import operate
from provider.serving import serve
from provider.settings import Settings

SHORT = Terms(lease_s=4.0, renew_s=0.5, kept_back_s=1.5)

if __name__ == "__main__":
    run = {"serve": serve, "operate": operate}[sys.argv[1]]
    sys.exit(run(Settings.from_environ(), terms=SHORT))
