#!/usr/bin/env bash
# Brings the dataset up to the last published session; for cron. Options: bin/daily.sh --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare_venv ""
cd "$PROJECT"
exec .venv/bin/g5 daily "$@"
