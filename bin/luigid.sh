#!/usr/bin/env bash
# Starts the central scheduler and its page: bin/luigid.sh [--background | --stop]. Options: --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare_venv ""
cd "$PROJECT"
exec .venv/bin/g5 luigid "$@"
