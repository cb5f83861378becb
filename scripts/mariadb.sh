#!/usr/bin/env bash
# The MariaDB server's programs, for the tests and the demo of the labelling API.
#
#   mariadb.sh           install Debian's mariadb-server where it is missing
#
# Only the programs are wanted: whoever needs a server runs one of his own, in a folder of
# his own. So the installed package must not start one as a service of the system.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

POLICY=/usr/sbin/policy-rc.d # asked by Debian's packages before they start a service

installed() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    have mariadbd && have mariadb-install-db
}

# A policy that is there already is the machine's own, and stays.
forbid_services() {
    [ -e "$POLICY" ] && return
    trap 'rm -f "$POLICY"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod +x "$POLICY"
}

installed && exit
on_debian && is_root || die "No MariaDB server is installed. Install it (Debian: sudo apt install mariadb-server) and run this again."
step "installing MariaDB's server"
forbid_services
apt_install mariadb-server
installed || die "mariadb-server is installed, but its mariadbd or mariadb-install-db is not found."
