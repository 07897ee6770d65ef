#!/bin/sh
# Compiles, lints and compares the format of every Bicep file, and computes the plans of
# infra/environments anew: any diagnostic and any difference fails. `sh infra/check.sh --write` formats
# the files and writes the plans instead.
set -eu
cd "$(dirname "$0")"

mode=${1:-}
compiler=$(sh ./find-bicep.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP

# The parameter files read these. Plans are computed for one example, wherever they are computed.
export API_CLIENT_ID=33333333-3333-3333-3333-333333333333
export AZURE_LOCATION=swedencentral
export AZURE_SECOND_LOCATION=northeurope
export ALERT_EMAIL=operator@example.com
export DEVELOPER_PRINCIPAL_ID=44444444-4444-4444-4444-444444444444
plan() {
    "$compiler" snapshot "$1" --mode "$2" --location "$AZURE_LOCATION" \
        --subscription-id 11111111-1111-1111-1111-111111111111 \
        --tenant-id 22222222-2222-2222-2222-222222222222
}

# A warning leaves the exit status at 0: silence is what passes.
silent() {
    if ! "$@" >"$scratch/said" 2>&1 || [ -s "$scratch/said" ]; then
        cat "$scratch/said" >&2
        exit 1
    fi
}

if [ "$mode" = --write ]; then
    for file in *.bicep environments/*.bicepparam; do
        "$compiler" format "$file"
    done
    for file in environments/*.bicepparam; do
        plan "$file" overwrite
    done
    # The compiler writes the outputs in another order each time.
    python3 - environments/*.snapshot.json <<'EOF'
import json, pathlib, sys
for path in map(pathlib.Path, sys.argv[1:]):
    plan = json.loads(path.read_text("utf-8"))
    plan["outputs"] = dict(sorted(plan["outputs"].items()))
    path.write_text(json.dumps(plan, indent=2, ensure_ascii=False) + "\n", "utf-8")
EOF
    exit
fi

silent "$compiler" lint --pattern '*.bicep'
for file in environments/*.bicepparam; do
    silent "$compiler" lint "$file"
done
echo "No diagnostics."

for file in *.bicep environments/*.bicepparam; do
    "$compiler" format "$file" --outfile "$scratch/formatted"
    if ! diff -u "$file" "$scratch/formatted" >&2; then
        echo "$file is not formatted: run sh infra/check.sh --write." >&2
        exit 1
    fi
done
echo "All files are formatted."

for file in environments/*.bicepparam; do
    if ! plan "$file" validate >"$scratch/said" 2>&1 || [ -s "$scratch/said" ]; then
        cat "$scratch/said" >&2
        echo "$file plans something else than its snapshot: run sh infra/check.sh --write, and review the difference." >&2
        exit 1
    fi
done
echo "The plans are as kept."
