#!/usr/bin/env bash
# The web server that the benchmarks compare transfers with.
#
#   nginx.sh             have a program `nginx` on the PATH, or in .cache/nginx
#
# Only the program is wanted: the benchmarks run a server of their own. So Debian's package is
# unpacked, not installed, and no service of the machine's is started or changed.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

WORK=$CACHE/nginx

have nginx || [ -x "$WORK/usr/sbin/nginx" ] && exit
on_debian || die "No nginx is installed. Install it and run this again."
step "fetching nginx"
mkdir -p "$WORK"
cd "$WORK"
apt-get -q download nginx >/dev/null 2>&1 || { is_root && apt_update && quietly nginx apt-get -q download nginx; } ||
    die "Debian's package nginx cannot be fetched. Install nginx and run this again."
dpkg-deb -x nginx_*.deb .
rm nginx_*.deb
