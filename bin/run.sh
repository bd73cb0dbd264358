#!/usr/bin/env bash
# Starts a run: bin/run.sh production | incremental | merge | custom --config FILE. Options: --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare_venv ""
cd "$PROJECT"
exec .venv/bin/g5 run "$@"
