#!/bin/sh
# install.sh PYTHON VENV WHAT: make the virtual environment VENV and install WHAT (this checkout, with extras) into it.
# The user's pip settings hold; a torch that is already there (in VENV, or in PYTHON's own packages) is kept.
set -eu
python=$1 venv=$2 what=$3

fail() { echo "cnngraph: $1" >&2; exit 1; }

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; }
has_torch() { "$1" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null; }

if [ -x "$venv/bin/python" ]; then
    # It is used as it is, whatever PYTHON is by now.
    fits "$venv/bin/python" ||
        fail "Python 3.11 to 3.13 is needed, $venv has $("$venv/bin/python" -V 2>&1); remove it (make clean) and run make again"
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        fail "$venv is not whole, it has no pip; remove it (make clean) and run make again"
else
    command -v "$python" >/dev/null 2>&1 ||
        fail "there is no $python; install Python 3.11 to 3.13, or: make PYTHON=/path/to/python3.12"
    fits "$python" || fail "Python 3.11 to 3.13 is needed, $python is $("$python" -V 2>&1); try: make PYTHON=python3.12"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "the venv module is missing; on Debian and Ubuntu: apt install python3-venv"
    site="" needed=8
    if has_torch "$python"; then site="--system-site-packages" needed=2; fi
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$needed" ] || fail "about $needed GB of free disk are needed here, there are $free"
    if [ -n "$site" ]; then
        echo "Found a torch in $python: it is used as it is."
    else
        echo "Installing into $venv: about 3 GB to download and 6 GB on disk, most of it PyTorch (licence: BSD)."
        echo "A smaller, CPU-only PyTorch: see 'Start Locally' on pytorch.org; install it into $venv, then run make again."
    fi
    "$python" -m venv $site "$venv"
fi

# A torch that is there stays: its pins (and its companions') are taken out of the constraints.
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
if has_torch "$venv/bin/python"; then
    grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z-]*)==' constraints.txt >"$constraints"
    "$venv/bin/python" -m pip freeze 2>/dev/null | grep -E '^(torch|torchvision)==' >>"$constraints" || true
else
    cp constraints.txt "$constraints"
fi
"$venv/bin/python" -m pip install --quiet --constraint "$constraints" --editable "$what"
