#!/bin/sh
# Install what the compiled build needs, where it is missing and we may: a C compiler, and the headers of Debian's Python.
set -eu

header=$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
has_all() { command -v cc >/dev/null 2>&1 && [ -e "$header" ]; }

if has_all; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "cpmqr: installing a C compiler for the compiled build (once)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev >/dev/null
fi

if has_all; then exit 0; fi
echo "cpmqr: the compiled build needs a C compiler (cc) and $header." >&2
exit 1
