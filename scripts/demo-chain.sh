#!/usr/bin/env bash
# A small image, then the demo on a chain. Run it through `make demo-chain`.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
scripts/images.sh test
exec "$VENV/bin/python" -m demo.chain --image ocean-compute-test/busybox:1 "$@"
