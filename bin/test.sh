#!/usr/bin/env bash
# Style, types, direction of imports, and the tests. Arguments go to pytest.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
. "$PROJECT/bin/packages.sh"
prepare_venv "test,dev,examples"
prepare_packages
cd "$PROJECT"
# Hundreds of processes import the package: it is compiled once.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/ruff format --check .
.venv/bin/ruff check .
# These two take one core for a while, so the tests begin beside them; they speak only of findings.
found="$(mktemp)"
{ .venv/bin/mypy && .venv/bin/lint-imports; } >"$found" 2>&1 &
checks=$!
trap 'kill "$checks" 2>/dev/null || true; rm -f "$found"' EXIT
code=0
.venv/bin/pytest "$@" || code=$?
wait "$checks" || {
    cat "$found" >&2
    exit 1
}
exit "$code"
