#!/usr/bin/env bash
# Formatter, linter, types, and the arrow between the two packages.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
export PATH=$VENV/bin:$PATH

step "format"
ruff format --check --quiet .
step "lint"
ruff check --quiet .
step "types"
mypy --no-error-summary
step "layers"
quietly layers lint-imports
