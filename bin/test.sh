#!/usr/bin/env bash
# Style, types, direction of imports, then the tests. Arguments go to pytest.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
. "$PROJECT/bin/browser.sh"
prepare_venv "test,dev"
prepare_browser
cd "$PROJECT"
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/lint-imports
exec .venv/bin/pytest "$@"
