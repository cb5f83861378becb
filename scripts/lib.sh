# Shared by the scripts of this folder; sourced, never run.
# Everything that is downloaded or built lies under .cache/ and can be removed at any time.

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$ROOT/.cache
VENV=$ROOT/.venv
mkdir -p "$CACHE"

say() { printf '%s\n' "$*" >&2; }
step() { printf '\033[2m·\033[0m %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
on_debian() { have apt-get && have dpkg; }

# A long step's output goes to a file and is shown only when the step fails.
quietly() { # quietly NAME COMMAND…
    local log="$CACHE/log/$1.log"
    shift
    mkdir -p "$CACHE/log"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 40 "$log" >&2
        say "failed: $* (whole output: $log)"
        return 1
    fi
}

# The lists of packages are fetched once, and only when something is to be installed.
apt_update() {
    [ -n "${APT_UPDATED:-}" ] && return
    # A source that fails may not be the one that is needed.
    quietly apt-update apt-get -q update || say "going on with the package lists that are there"
    APT_UPDATED=1
}

apt_install() { # apt_install PACKAGE…
    apt_update
    quietly "apt-$1" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "$@"
}

# A Docker client with contexts (Docker Desktop, rootless) knows an address that the
# Python SDK does not: hand it on.
if [ -z "${DOCKER_HOST:-}" ] && have docker; then
    endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)
    case $endpoint in
    '' | unix:///var/run/docker.sock) ;;
    *) export DOCKER_HOST=$endpoint ;;
    esac
    unset endpoint
fi
