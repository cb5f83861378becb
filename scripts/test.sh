#!/usr/bin/env bash
# Everything that must hold. Run it through `make test`, which starts an engine when none
# answers; arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scripts/lint.sh
scripts/images.sh test provider examples
# Without the servers their tests are skipped: as another user they are there or not.
if is_root && on_debian; then
    scripts/mariadb.sh
    scripts/postgres.sh
fi
scripts/ocean-py.sh
step "tests"
# One process more than there are processors: a third of the time a test waits, for containers and
# for leases and time limits that have to pass.
workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
if [ "$workers" -gt 4 ]; then workers=4; fi
exec "$VENV/bin/python" -m pytest -q -n "$workers" --dist loadfile --no-loadscope-reorder \
    --durations 40 "$@"
