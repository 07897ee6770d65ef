#!/bin/sh
# Builds and lints every Bicep file and parameter file; needs `bicep`, or the Azure CLI, which gets it.
set -eu
cd "$(dirname "$0")"

# The parameter files ask the environment for it; to check them, any id will do.
: "${API_CLIENT_ID:=00000000-0000-0000-0000-000000000000}"
export API_CLIENT_ID

if command -v bicep >/dev/null 2>&1; then
    build() { bicep build "$1" --stdout >/dev/null; }
    lint() { bicep lint "$1"; }
    build_params() { bicep build-params "$1" --stdout >/dev/null; }
elif command -v az >/dev/null 2>&1; then
    build() { az bicep build --file "$1" --stdout >/dev/null; }
    lint() { az bicep lint --file "$1"; }
    build_params() { az bicep build-params --file "$1" --stdout >/dev/null; }
else
    echo "There is neither bicep nor az on PATH: install the Azure CLI." >&2
    exit 1
fi

for file in *.bicep; do
    echo "$file"
    build "$file"
    lint "$file"
done
for file in environments/*.bicepparam; do
    echo "$file"
    build_params "$file"
done
