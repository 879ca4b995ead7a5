#!/usr/bin/env bash
# Prints the first Python on PATH that is new enough and can make a virtual environment.
# $PYTHON, when set, is tried first. A launcher that exists but does not start is passed over.
set -u
usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'

for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
    for candidate in $(type -aP "$name"); do
        case "$candidate" in "$PWD"/.venv/*) continue ;; esac
        if "$candidate" -c "$usable" >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            exit 0
        fi
    done
done

echo "No usable Python was found on PATH. Modelyard needs Python 3.11 or newer with its venv and
ensurepip modules (Debian and Ubuntu: the package python3-venv). If it is installed elsewhere,
name it: make setup PYTHON=…/python3.11" >&2
exit 1
