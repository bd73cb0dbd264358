"""Tests of the parts of benchmarks that calculate or run something of their own."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"

# Benchmarks are scripts: they import one another by their names alone.
sys.path.append(str(FOLDER))
