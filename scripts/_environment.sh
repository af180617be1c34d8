# Sourced by the scripts beside it: makes (once) and enters the virtual environment .venv of this folder's project.
# PYTHON names the interpreter to make it with; the default is the first of python3.13 … python3 that is 3.11 or later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or later is needed; set PYTHON to its path." >&2
    exit 2
}

[ -x .venv/bin/python ] || "$(find_python)" -m venv .venv

# Installs again only after the list of dependencies has changed. Whatever else is installed holds what the program needs.
extras="${1:-.}"
wanted="$(cksum <pyproject.toml)"
installed=".venv/installed-${extras//[^a-z]/}"
if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ] &&
    { [ "$extras" != "." ] || ! grep -qsxF "$wanted" .venv/installed-*; }; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$extras"
    echo "$wanted" >"$installed"
fi
