#!/usr/bin/env bash
# Builds a dataset from the embedded simulator, without an API key. Options: bin/demo.sh --help
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
prepare_venv ""
cd "$PROJECT"
exec .venv/bin/g5 demo "$@"
