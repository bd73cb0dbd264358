#!/usr/bin/env bash
# Quiet when all is well, else one line per finding and exit code 1. Options: --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare_venv ""
cd "$PROJECT"
exec .venv/bin/g5 health "$@"
