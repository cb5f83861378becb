#!/usr/bin/env bash
# The examples' images, then the demo of the further job APIs. Run it through
# `make demo-siblings`.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
scripts/images.sh examples
exec "$VENV/bin/python" -m demo.siblings "$@"
