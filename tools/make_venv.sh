#!/bin/sh
# Make .venv with the exact versions of requirements.lock. Usage: make_venv.sh [PYTHON]
set -eu
wanted=${1:-python3}

fits() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for candidate in "$wanted" python3.13 python3.12 python3.11; do
    if fits "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    found=$("$wanted" --version 2>/dev/null || echo "no program of that name")
    echo "This course needs Python 3.11 or newer. '$wanted' is: $found." >&2
    echo "Install a newer Python, or name one: make book PYTHON=/path/to/python3.12" >&2
    exit 1
fi

echo "Installing into .venv with $("$python" --version) (once; a few minutes) ..."
if ! "$python" -m venv --clear .venv; then
    echo "Python's venv module does not work here; on Debian or Ubuntu install the package python3-venv." >&2
    exit 1
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
