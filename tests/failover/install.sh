#!/bin/sh
# Install what the failover tests run, where it is missing: Debian's Patroni, etcd and PostgreSQL.
set -eu
if command -v patroni >/dev/null && command -v etcd >/dev/null && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Patroni, etcd and PostgreSQL are wanted: as root on Debian, apt-get install patroni etcd-server postgresql" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends patroni etcd-server postgresql
