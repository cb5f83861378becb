#!/usr/bin/env bash
# ocean.py, a real client of the API, in a virtual environment of its own under .cache:
# its packages are of an older generation than the service's.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

OCEAN_LIB='ocean-lib==3.1.2'
folder=$CACHE/ocean-py
python=${PYTHON:-python3}
if [ "$(cat "$folder/.made" 2>/dev/null)" != "$OCEAN_LIB" ]; then
    step "installing ocean.py for its tests"
    rm -rf "$folder"
    quietly venv-ocean-py "$python" -m venv "$folder"
    quietly pip-ocean-py "$folder/bin/python" -m pip --disable-pip-version-check install --compile "$OCEAN_LIB"
    echo "$OCEAN_LIB" >"$folder/.made"
fi
