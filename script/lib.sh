# shellcheck shell=bash
# What script/server and script/test share: Debian packages and the Python environment.
# Sourced, from the root of the checkout. Every step looks first and does nothing when nothing is missing.

say() { printf '%s\n' "$*"; }
die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# shellcheck disable=SC2034  # read by the scripts that source this file
# One line a package: its name, a colon, and what proves that it is here (a command, a path, or a path pattern).
PRODUCT_PACKAGES="
ca-certificates:/etc/ssl/certs/ca-certificates.crt
tzdata:/usr/share/zoneinfo/Europe/Paris
procps:ps
sudo:sudo
gettext:msgfmt
openssh-client:ssh
borgbackup:borg
fuse3:fusermount3
python3-pyfuse3:/usr/lib/python3/dist-packages/pyfuse3*
redis-server:redis-server
python3-venv:/usr/lib/python3.*/ensurepip/__init__.py
"

# shellcheck disable=SC2034
LAB_PACKAGES="
docker.io:/usr/sbin/dockerd
debootstrap:/usr/sbin/debootstrap
openssh-client:ssh
openssh-server:/usr/sbin/sshd
qemu-system-x86:qemu-system-x86_64
e2fsprogs:/usr/sbin/mke2fs
btrfs-progs:/usr/sbin/mkfs.btrfs
xfsprogs:/usr/sbin/mkfs.xfs
mount:/usr/sbin/losetup
util-linux:setpriv
openjdk-17-jre-headless:java
maven:mvn
"

is_here() {
    case $1 in
        /*) compgen -G "$1" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing_packages() {
    local line
    for line in $1; do
        is_here "${line#*:}" || printf '%s ' "${line%%:*}"
    done
}

# Debian starts a service as soon as its package is installed; we bring our own Redis, so none may start,
# neither now nor at the next boot. A policy that the machine already has is left alone.
without_services() {
    local policy=/usr/sbin/policy-rc.d ours='' status=0
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    "$@" || status=$?
    if [ -n "$ours" ]; then
        rm -f "$policy"
        trap - EXIT
    fi
    return "$status"
}

disable_service() {
    command -v systemctl >/dev/null && systemctl disable "$1" >/dev/null 2>&1
    command -v update-rc.d >/dev/null && update-rc.d "$1" disable >/dev/null 2>&1
    return 0
}

# ensure_packages LIST: install what is missing. Without root it says what to install and ends.
ensure_packages() {
    local missing pair log
    missing=$(missing_packages "$1")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "These packages are missing: $missing
Install them first, as root:
    apt-get update && apt-get install --no-install-recommends $missing"
    fi
    say "Installing Debian packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086  # a list of names
    if ! { apt-get -q update && without_services apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: $missing"
    fi
    rm -f "$log"
    # Servers of our own are started by whoever needs one; the machine's shall not begin at its next boot because of us.
    for pair in redis-server:redis-server openssh-server:ssh docker.io:docker.service docker.io:docker.socket \
        postgresql-15:postgresql mariadb-server:mariadb; do
        case " $missing" in *" ${pair%%:*} "*) disable_service "${pair#*:}" ;; esac
    done
    missing=$(missing_packages "$1")
    [ -z "$missing" ] || die "Still missing after the installation: $missing"
}

# The newest thing that we need of Python is in 3.11. Debian's own comes first: its packages fit together.
find_python() {
    local python
    for python in "${PHPBORG_PYTHON:-}" /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null &&
            "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    return 1
}

# ensure_environment FILE: .venv with exactly the pinned and hashed packages of this file.
ensure_environment() {
    local python stamp wanted
    stamp=.venv/.installed-$(basename "$1" .txt)
    wanted=$(sha256sum <"$1")
    if .venv/bin/python -c '' 2>/dev/null && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || die "Python 3.11 or newer with its venv module is needed (Debian 12, Ubuntu 24.04).
Name another one with PHPBORG_PYTHON=/path/to/python3."
        say "Creating the Python environment in .venv"
        "$python" -m venv --clear .venv
    fi
    say "Installing the Python packages of $1"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1" ||
        die "pip could not install the packages; see above. Nothing was started."
    printf '%s\n' "$wanted" >"$stamp"
}

# One at a time: two first starts must not build the same environment. The lock is the folder itself.
locked() {
    exec 8<script
    flock 8
    "$@"
    exec 8<&-
}
