#!/usr/bin/env bash
# The PostgreSQL server's programs, for the tests.
#
#   postgres.sh          install Debian's postgresql where it is missing
#
# Only the programs are wanted: the tests run a server of their own, in a folder of their own.
# So the installed package must neither start one as a service nor make a cluster.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

POLICY=/usr/sbin/policy-rc.d # asked by Debian's packages before they start a service
NO_CLUSTER=/etc/postgresql-common/createcluster.conf

installed() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || { have initdb && have postgres; }
}

# A policy or a configuration that is there already is the machine's own, and stays.
forbid_services() {
    if [ ! -e "$NO_CLUSTER" ]; then
        mkdir -p "$(dirname -- "$NO_CLUSTER")"
        echo 'create_main_cluster = false' >"$NO_CLUSTER"
    fi
    [ -e "$POLICY" ] && return
    trap 'rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod +x "$POLICY"
}

installed && exit
on_debian && is_root || die "No PostgreSQL server is installed. Install it (Debian: sudo apt install postgresql) and run this again."
step "installing PostgreSQL's server"
forbid_services
apt_install postgresql
installed || die "postgresql is installed, but its initdb is not found."
