#!/usr/bin/env bash
# The demo's image, then the demo. Run it through `make demo`.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
scripts/images.sh demo
exec "$VENV/bin/python" -m demo "$@"
