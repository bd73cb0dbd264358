"""The reader's side: ``pipeline.load`` for notebooks and scripts. It knows nothing of tasks."""

from __future__ import annotations

from pipeline.reading.loading import load

__all__ = ["load"]
