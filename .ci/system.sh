#!/bin/sh
# What tests need of the system, where it can be had: Chromium for those of the report in a browser, Slurm for those on a
# cluster. Where not, they are skipped and this says so.
set -u
export DEBIAN_FRONTEND=noninteractive
have() { command -v "$1" >/dev/null; }
install() { have apt-get && [ "$(id -u)" = 0 ] && apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1; }

{ have chromium || have chromium-browser; } && have slurmctld && exit 0
have apt-get && apt-get update >/dev/null 2>&1
have chromium || have chromium-browser || install chromium ||
    echo "chromium is missing and could not be installed: the browser tests of the report are skipped"
have slurmctld || install slurm-wlm munge ||
    echo "Slurm is missing and could not be installed: the test that needs it is skipped"
