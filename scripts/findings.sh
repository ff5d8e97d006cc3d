#!/bin/sh
# findings.sh [NAME ...]: run findings/NAME.sh, by default all of them; fails if one no longer sees what it says.
set -u
cd "$(dirname "$0")/../findings" || exit 1
failed=0
for script in ${*:-*.sh}; do
    script=${script%.sh}.sh
    echo "== $script"
    sh "$script" || { echo "CHANGED: $script"; failed=1; }
done
exit $failed
