#!/bin/sh
# Prints the Bicep compiler to use: the program that BICEP names, else the one on PATH, else the one
# of the shared tools beside this repository. None is a failure, with a sentence on stderr.
set -eu

beside=$(dirname "$0")/../../shared/tools/bicep
if [ -n "${BICEP:-}" ]; then
    found=$(command -v "$BICEP") || {
        echo "BICEP names $BICEP, which is no program: correct it, or unset it." >&2
        exit 1
    }
elif found=$(command -v bicep); then
    :
elif [ -x "$beside" ]; then
    found=$beside
else
    echo "There is no Bicep compiler: install one (az bicep install), and put it on PATH or name it in BICEP." >&2
    exit 1
fi
echo "$found"
