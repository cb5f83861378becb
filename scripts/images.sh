#!/usr/bin/env bash
# The container images of the demo and the tests; each is made only when it is missing.
#
#   images.sh test       a small shell image for the tests
#   images.sh base       python:3.11-slim-bookworm
#   images.sh demo       Python with scikit-learn: the demo's algorithms run in it
#   images.sh examples   the algorithms of examples/, one image each
#   images.sh provider   the service itself, from the Dockerfile
#
# Where a registry answers, images are pulled. Where none does, the base is made from
# Debian's own packages. Nothing here needs a network inside a container: Python packages
# are downloaded on this side and copied in.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

TEST_IMAGE=ocean-compute-test/busybox:1
BASE_IMAGE=python:3.11-slim-bookworm
DEMO_IMAGE=ocean-compute-demo/sklearn:1
PROVIDER_IMAGE=ocean-compute:local
RECIPE_LABEL=ocean-compute.recipe
WORK=$CACHE/images
mkdir -p "$WORK"

exists() { docker image inspect "$1" >/dev/null 2>&1; }

made_from() { # made_from IMAGE RECIPE
    [ "$(docker image inspect --format "{{index .Config.Labels \"$RECIPE_LABEL\"}}" "$1" 2>/dev/null)" = "$2" ]
}

checksum() { cksum | tr -d ' '; }

pull() { timeout 600 docker pull -q "$1" >/dev/null 2>&1; }

# --- a shell for the tests -------------------------------------------------------------

busybox_from_debian() {
    on_debian || return 1
    local work=$WORK/busybox
    rm -rf "$work"
    mkdir -p "$work/root"
    (
        cd "$work"
        apt-get -q download busybox-static >/dev/null 2>&1 && exit
        is_root && apt_update && apt-get -q download busybox-static >/dev/null 2>&1
    ) || return 1
    dpkg-deb -x "$work"/busybox-static_*.deb "$work/deb"
    local name
    mkdir -p "$work/root"/{bin,etc,proc,sys,dev,root}
    mkdir -p -m 1777 "$work/root/tmp"
    cp "$(find "$work/deb" -type f -name busybox -perm -u+x | head -n 1)" "$work/root/bin/busybox"
    for name in $("$work/root/bin/busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$work/root/bin/$name"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$work/root/etc/passwd"
    echo 'root:x:0:' >"$work/root/etc/group"
    tar -C "$work/root" --owner=0 --group=0 -c . |
        docker import --change 'CMD ["/bin/sh"]' --change 'ENV PATH=/bin' - "$TEST_IMAGE" >/dev/null
    rm -rf "$work"
}

test_image() {
    exists "$TEST_IMAGE" && return
    step "making the test image"
    busybox_from_debian && return
    pull busybox:1.36 || die "No busybox to test with: neither Debian's busybox-static nor a registry's busybox:1.36 can be had."
    docker tag busybox:1.36 "$TEST_IMAGE"
}

# --- Python ----------------------------------------------------------------------------

debian_mirror() { # the one this machine itself uses
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 2>/dev/null |
        awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
    if [ -z "$mirror" ] && [ "$(. /etc/os-release && echo "${ID:-}")" = debian ]; then
        mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
            sed -n 's/^deb \(\[[^]]*\] \)*\([^ ]*\) .*/\2/p; s/^URIs: *\([^ ]*\).*/\1/p' | head -n 1)
    fi
    echo "${mirror:-http://deb.debian.org/debian}"
}

python_from_debian() {
    on_debian && is_root || return 1
    have debootstrap || apt_install debootstrap || return 1
    local root=$WORK/python
    rm -rf "$root"
    quietly debootstrap debootstrap --variant=minbase \
        --include=python3,python3-venv,ca-certificates,netbase,tzdata \
        bookworm "$root" "$(debian_mirror)" || return 1
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
    # This machine's name servers and package sources are nobody's business in an image.
    rm -f "$root"/etc/{resolv.conf,hostname}
    echo 'deb http://deb.debian.org/debian bookworm main' >"$root/etc/apt/sources.list"
    ln -s python3 "$root/usr/bin/python"
    tar -C "$root" --one-file-system -c . | docker import \
        --change 'CMD ["python3"]' \
        --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV LANG=C.UTF-8' \
        - "$BASE_IMAGE" >/dev/null
    rm -rf "$root"
}

base_image() {
    exists "$BASE_IMAGE" && return
    step "fetching $BASE_IMAGE"
    pull "$BASE_IMAGE" && return
    step "no registry answers: making $BASE_IMAGE from Debian's packages"
    python_from_debian || die "Neither a registry nor Debian's packages (root on Debian needed) can give $BASE_IMAGE."
}

# --- Python packages for Python 3.11 on the engine's processor ---------------------------

platform_options() {
    local machine
    case $(docker version --format '{{.Server.Arch}}') in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) die "No ready-made Python packages exist for this processor." ;;
    esac
    printf '%s\n' --only-binary=:all: --implementation cp --python-version 3.11 \
        --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux_2_28_$machine" --platform "manylinux_2_34_$machine"
}

pip() { "$VENV/bin/python" -m pip --disable-pip-version-check "$@"; }

# --- the demo's algorithm image -----------------------------------------------------------

algorithm_image() { # algorithm_image IMAGE FOLDER: its Dockerfile, what lies beside it, and
    # the packages of its requirements.txt in the folder packages
    local image=$1 folder=$2 name=${1//[^a-z0-9]/-} recipe work
    work=$WORK/$name
    recipe=$(cd "$folder" && find . -type f -not -path '*/__pycache__/*' | LC_ALL=C sort |
        xargs cat | checksum)
    made_from "$image" "$recipe" && return
    base_image
    step "making the algorithm image $image"
    rm -rf "$work"
    mkdir -p "$work"
    cp -r "$folder"/. "$work/"
    find "$work" -type d -name __pycache__ -prune -exec rm -rf {} +
    if [ -e "$work/requirements.txt" ]; then
        mapfile -t options < <(platform_options)
        quietly "$name-packages" pip install --no-compile --target "$work/packages" \
            "${options[@]}" -r "$work/requirements.txt"
        find "$work/packages" -type d -name tests -prune -exec rm -rf {} +
    fi
    quietly "$name" env DOCKER_CLI_HINTS=false docker build -q --network none \
        --label "$RECIPE_LABEL=$recipe" -t "$image" "$work"
    rm -rf "$work"
}

demo_image() { algorithm_image "$DEMO_IMAGE" "$ROOT/demo/image"; }

examples_images() {
    local name
    for name in gbuilder labelling aaas; do
        algorithm_image "ocean-compute-demo/$name:1" "$ROOT/examples/$name/image"
    done
    base_image
}

# --- the service's own image --------------------------------------------------------------

wheels() { # what the Dockerfile installs from when it is there
    local recipe purpose
    recipe=$(cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml" "${BASH_SOURCE[0]}" | checksum)
    [ "$(cat "$CACHE/wheels/.recipe" 2>/dev/null)" = "$recipe" ] && return
    step "downloading Python packages for the service's image"
    rm -rf "$CACHE/wheels"
    mkdir -p "$CACHE/wheels"
    for purpose in runtime build; do
        "$VENV/bin/python" "$ROOT/scripts/requirements.py" "$ROOT" $purpose
    done >"$CACHE/requirements.txt"
    mapfile -t options < <(platform_options)
    quietly wheels pip download -d "$CACHE/wheels" "${options[@]}" -r "$CACHE/requirements.txt"
    echo "$recipe" >"$CACHE/wheels/.recipe"
}

provider_image() {
    local recipe
    recipe=$(cd "$ROOT" && cat Dockerfile .dockerignore setup.cfg pyproject.toml \
        $(find provider compute -name '*.py' -o -name '*.mako' | LC_ALL=C sort) | checksum)
    made_from "$PROVIDER_IMAGE" "$recipe" && return
    base_image
    wheels
    step "making the service's image $PROVIDER_IMAGE"
    quietly provider-image env DOCKER_CLI_HINTS=false docker build -q \
        --label "$RECIPE_LABEL=$recipe" -t "$PROVIDER_IMAGE" "$ROOT"
}

[ $# -gt 0 ] || die "usage: images.sh test|base|demo|examples|wheels|provider …"
for what; do
    case $what in
    test) test_image ;;
    base) base_image ;;
    demo) demo_image ;;
    examples) examples_images ;;
    wheels) wheels ;;
    provider) provider_image ;;
    *) die "images.sh: no image is called $what" ;;
    esac
done
