#!/bin/sh
# setup.sh PYTHON VENV LOCK: makes VENV with the packages of LOCK and this checkout, which stays editable.
set -eu
python=$1 venv=$2 lock=$3

if [ -z "$python" ]; then
    echo "python: none of version 3.11 or newer was found; install one, or name it: make SYSTEM_PYTHON=/path/to/python3" >&2
    exit 2
fi
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "Setting up $venv from $lock (once; 1-3 minutes)"
# uv installs the lock in a fifth of pip's time; where it cannot be had or has no way to the index, pip does it.
if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock &&
    "$venv/bin/uv" pip install --quiet --system-certs --compile-bytecode --python "$venv/bin/python" --require-hashes -r "$lock"; then
    :
else
    echo "uv could not install the packages; pip does it, which takes longer"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable .
