#!/bin/sh
# Install what the browser tests drive, where it is missing and we may: Debian's Chromium, and a Korean font.
# Where we may not, say so; the tests then say it too, and are skipped.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "cpmqr: installing Chromium for the browser tests (once)"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-nanum >/dev/null; then
        exit 0
    fi
fi

echo "cpmqr: no Chromium here, and none could be installed: the browser tests will be skipped." >&2
echo "cpmqr: install chromium (apt-get install chromium fonts-nanum) and run make test again." >&2
