#!/bin/sh
# What tests need of the system, where it can be had: Chromium for those of the report in a browser, Slurm for those on a
# cluster. Where not, they are skipped and this says so.
set -u
export DEBIAN_FRONTEND=noninteractive
browser() { command -v chromium || command -v chromium-browser; } >/dev/null
slurm() { command -v slurmctld; } >/dev/null
install() { apt-get install -y --no-install-recommends "$@"; } >/dev/null 2>&1

browser && slurm && exit 0
apt-get update >/dev/null 2>&1
browser || install chromium ||
    echo "chromium is missing and could not be installed: the browser tests of the report are skipped"
slurm || install slurm-wlm munge || echo "Slurm is missing and could not be installed: the test that needs it is skipped"
