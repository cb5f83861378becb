#!/usr/bin/env bash
# Everything that must hold. Run it through `make test`, which starts an engine when none
# answers; arguments go to pytest.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

scripts/lint.sh
scripts/images.sh test provider examples
# Without the server its tests are skipped: as another user it is there or it is not.
if is_root && on_debian; then scripts/mariadb.sh; fi
scripts/ocean-py.sh
step "tests"
exec "$VENV/bin/python" -m pytest -q "$@"
