"""The reader's side: ``pipeline.load`` for notebooks and scripts. It knows nothing of tasks."""

from __future__ import annotations

from pipeline.loading.load_dataset import load

__all__ = ["load"]
