#!/usr/bin/env bash
# The virtual environment in .venv, made again only when the package's metadata changes.
#
#   venv.sh          what the service and its command line need
#   venv.sh devchain that and the development chain
#   venv.sh test     that and the tools of the tests
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

want=${1:-run}
python=${PYTHON:-python3}
cd "$ROOT"
recipe=$(cat setup.cfg pyproject.toml scripts/venv.sh | cksum | tr -d ' ')

has() { [ "$(cat "$VENV/.made-$1" 2>/dev/null)" = "$recipe" ]; }
# Warm byte code of our own: where PYTHONDONTWRITEBYTECODE is set, each start of the command
# line would compile it again.
warm() { env -u PYTHONDONTWRITEBYTECODE "$VENV/bin/python" -m compileall -q provider compute || true; }
if has "$want" || has test; then
    warm
    exit
fi

have "$python" || die "Python 3.11 or later is needed; name it with PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "Python 3.11 or later is needed; $python is $("$python" -V 2>&1). Name another with PYTHON=…"

extra=''
if [ "$want" != run ]; then extra="[$want]"; fi
step "installing Python packages into .venv"
if [ ! -x "$VENV/bin/python" ]; then
    rm -rf "$VENV"
    if ! quietly venv "$python" -m venv "$VENV"; then
        rm -rf "$VENV"
        die "On Debian and Ubuntu: apt-get install python3-venv"
    fi
fi
quietly "pip-$want" "$VENV/bin/python" -m pip --disable-pip-version-check install --compile -e ".$extra"
warm
echo "$recipe" >"$VENV/.made-$want"
