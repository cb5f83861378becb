#!/usr/bin/env bash
# Formatter, linter, types, and the arrow between the two packages.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
export PATH=$VENV/bin:$PATH

status=0
check() { # check NAME COMMAND…: all of them run, whatever one finds
    step "$1"
    shift
    "$@" || status=1
}

check format ruff format --check --quiet .
check lint ruff check --quiet .
check types mypy --no-error-summary
check layers quietly layers lint-imports
exit $status
