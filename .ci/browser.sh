#!/bin/sh
# Chromium for the browser tests of the report, where it can be had; where not, they are skipped and this says so.
set -u
command -v chromium >/dev/null || command -v chromium-browser >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1 && exit 0
fi
echo "chromium is missing and could not be installed: the browser tests of the report are skipped"
