#!/usr/bin/env bash
# Style, types, direction of imports, and the tests. Arguments go to pytest.
# usage: bin/test.sh [--quick] [ARGUMENT ...]
# --quick: style and the tests that take little time, with the first two sets of parameters of each,
# on two cores; without types and import rules, because mypy alone takes a minute from an empty cache.
# tests/conftest.py says what is left out.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
. "$PROJECT/bin/packages.sh"
prepare_venv "test,dev,examples"
quick=""
for argument in "$@"; do
    [ "$argument" != "--quick" ] || quick=yes
done
[ -n "$quick" ] || prepare_packages
cd "$PROJECT"
# Hundreds of processes import the package: it is compiled once.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/ruff format --check .
.venv/bin/ruff check .
if [ -n "$quick" ]; then
    # A file stays on one worker: what its tests share is made once.
    exec .venv/bin/pytest -q -n 2 --dist loadfile --no-loadscope-reorder "$@"
fi
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
