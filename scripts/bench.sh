#!/usr/bin/env bash
# Speed as ratios in one run; see benchmarks/.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
scripts/images.sh test
scripts/nginx.sh
exec "$VENV/bin/python" -m benchmarks "$@"
