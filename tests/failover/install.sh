#!/bin/sh
# Install what the failover tests run, where it is missing: Debian's Patroni, etcd and PostgreSQL, and a newer Patroni.
# Prints the path of the newer one's program.
set -eu
version=4.1.5
packages="patroni etcd-server postgresql python3-venv"

has_all() {
    command -v patroni >/dev/null && command -v etcd >/dev/null && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 &&
        /usr/bin/python3 -c 'import ensurepip' 2>/dev/null
}

if ! has_all; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "Patroni, etcd and PostgreSQL are wanted: as root on Debian, apt-get install $packages" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >&2
fi

# A root's cluster runs as the user postgres, who can't read what lies in /root: neither Python nor this checkout.
if [ "$(id -u)" = 0 ]; then folder=/opt/cpmqr-patroni-$version; else folder=$PWD/build/patroni-$version; fi
if [ ! -e "$folder/.ready" ]; then
    /usr/bin/python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check \
        "patroni[etcd3]==$version" "psycopg[binary]==3.3.9" >&2
    touch "$folder/.ready"
fi
echo "$folder/bin/patroni"
