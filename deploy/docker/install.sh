#!/bin/sh
# Installs /tmp/lock.txt into /opt/venv and compiles it, because the file system is read-only at run time.
set -eu
pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /tmp/lock.txt
/opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib
