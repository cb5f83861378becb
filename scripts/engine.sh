#!/usr/bin/env bash
# A Docker Engine for the demo and the tests.
#
#   engine.sh run COMMAND…   make sure an engine answers, run COMMAND, leave the machine as it was
#   engine.sh ensure         make sure an engine answers
#   engine.sh release        stop the engine if one of these scripts started it and nobody uses it
#
# An engine that already answers (DOCKER_HOST or Docker's own context included) is used as
# it is and never stopped. Otherwise, as root on a Debian-like system, Docker is installed
# and one daemon is started. There is never a second daemon on a machine.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

SOCKET=/var/run/docker.sock
DAEMON_PID=/var/run/docker.pid
STATE=/run/ocean-compute-engine # who started a daemon and who uses it; root only
LOG=$STATE/dockerd.log
PATIENCE=60 # seconds for a daemon to answer

answers() { timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

daemon_runs() { # the pid of a living daemon, whoever started it
    local pid
    pid=$(cat "$DAEMON_PID" 2>/dev/null) || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && echo "$pid"
}

wait_for_answer() { # wait_for_answer PID: while it lives, at most PATIENCE seconds
    local end=$((SECONDS + PATIENCE))
    until answers; do
        [ $SECONDS -lt $end ] || return 1
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.2
    done
}

explain_silence() {
    if [ -n "${DOCKER_HOST:-}" ]; then
        die "No Docker Engine answers at $DOCKER_HOST. Start it, or unset DOCKER_HOST to use $SOCKET."
    fi
    if [ -S "$SOCKET" ] && [ ! -w "$SOCKET" ]; then
        die "You may not use $SOCKET. Add yourself to its group and log in again: sudo usermod -aG docker $(id -un)"
    fi
    is_root || die "No Docker Engine answers. Start Docker (sudo systemctl start docker), or run this as root to have it installed."
}

install_docker() {
    on_debian || die "No Docker Engine is installed. Install it (https://docs.docker.com/engine/install/) and run this again."
    step "installing Docker Engine"
    local packages=(docker.io)
    apt_update
    # Debian 12 ships the client with the daemon, later ones apart.
    if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
    grep -q ' cgroup2\? ' /proc/mounts || packages+=(cgroupfs-mount)
    apt_install "${packages[@]}"
}

mount_cgroups() {
    grep -q ' cgroup2\? ' /proc/mounts && return
    have cgroupfs-mount || apt_install cgroupfs-mount
    cgroupfs-mount
}

start_daemon() {
    step "starting Docker Engine"
    mkdir -p "$STATE"
    if [ -d /run/systemd/system ] && systemctl cat docker.service >/dev/null 2>&1; then
        systemctl start docker
    else
        mount_cgroups
        # Out of this process group and off this terminal, so that Ctrl-C stops the
        # command and not the daemon under it; the lock (9) is not handed on.
        setsid dockerd >"$LOG" 2>&1 </dev/null 9>&- &
        echo $! >"$STATE/started"
    fi
    local pid
    pid=$(cat "$STATE/started" 2>/dev/null || systemctl show -p MainPID --value docker)
    echo "$pid" >"$STATE/started"
    wait_for_answer "$pid" && return
    tail -n 20 "$LOG" >&2 || journalctl -n 20 -u docker >&2 || true
    stop_daemon
    die "The Docker Engine that was started does not answer. Above are its last words."
}

stop_daemon() {
    local pid
    pid=$(cat "$STATE/started" 2>/dev/null) || return 0
    rm -f "$STATE/started"
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
    if [ -d /run/systemd/system ] && [ "$(systemctl show -p MainPID --value docker)" = "$pid" ]; then
        systemctl stop docker.socket docker.service
        return
    fi
    kill -TERM "$pid"
    local end=$((SECONDS + 30))
    while kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
    rm -f "$LOG"
}

lock() {
    have flock || return 0
    if is_root; then mkdir -p "$STATE" && exec 9>"$STATE/lock"; else exec 9>"$CACHE/engine.lock"; fi
    flock 9
}

unlock() { exec 9>&- || true; }

ensure() {
    lock
    if is_root; then : >"$STATE/user-$1"; fi
    if have docker && answers; then
        unlock
        return
    fi
    local pid
    if [ -z "${DOCKER_HOST:-}" ] && pid=$(daemon_runs) && have docker && { is_root || [ -w "$SOCKET" ]; }; then
        step "waiting for the Docker daemon that runs already"
        wait_for_answer "$pid" ||
            die "A Docker daemon (process $pid) runs but does not answer at $SOCKET. Restart it, or end it and run this again."
        unlock
        return
    fi
    explain_silence
    if ! have dockerd || ! have docker; then install_docker; fi
    # Installing may have started the service.
    if pid=$(daemon_runs); then
        echo "$pid" >"$STATE/started"
        wait_for_answer "$pid" || die "The Docker Engine that was installed does not answer at $SOCKET."
    elif ! answers; then
        start_daemon
    fi
    unlock
}

others_use_it() { # a living command of ours, or any running container
    local user pid
    for user in "$STATE"/user-*; do
        [ -e "$user" ] || continue
        pid=${user##*-}
        if kill -0 "$pid" 2>/dev/null; then return 0; fi
        rm -f "$user"
    done
    [ -n "$(timeout 20 docker ps -q 2>/dev/null)" ]
}

release() {
    is_root || return 0
    lock
    rm -f "$STATE/user-$1"
    if [ -e "$STATE/started" ] && ! others_use_it; then stop_daemon; fi
    unlock
}

case ${1:-} in
run)
    shift
    trap 'release $$' EXIT
    ensure $$
    status=0
    "$@" || status=$?
    exit $status
    ;;
ensure) ensure $PPID ;;
release) release $PPID ;;
*) die "usage: engine.sh run COMMAND… | ensure | release" ;;
esac
