"""The Luigi tasks, in the order they run.

Importing the package connects Luigi's events with the run history. The tasks themselves are
imported on first use, so that a process which runs one task does not load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import luigi

from pipeline.operations.runs import run_recorder
from pipeline.tasks.worker import leader

run_recorder.install()
leader.install()

if TYPE_CHECKING:
    from pipeline.tasks.build_all import BuildAll
    from pipeline.tasks.build_chunk import BuildChunk
    from pipeline.tasks.build_labels import BuildLabels
    from pipeline.tasks.build_report import BuildReport
    from pipeline.tasks.fetch_source import FetchSource
    from pipeline.tasks.merge_dataset import MergeChunks
    from pipeline.tasks.validate_schema import ValidateSchema

__all__ = [
    "BuildAll",
    "BuildChunk",
    "BuildLabels",
    "BuildReport",
    "FetchSource",
    "MergeChunks",
    "ValidateSchema",
]

_MODULES = {
    "FetchSource": "fetch_source",
    "BuildChunk": "build_chunk",
    "ValidateSchema": "validate_schema",
    "MergeChunks": "merge_dataset",
    "BuildLabels": "build_labels",
    "BuildReport": "build_report",
    "BuildAll": "build_all",
}


def __getattr__(name: str) -> type[luigi.Task]:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    task: type[luigi.Task] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return task


def all_tasks() -> list[type[luigi.Task]]:
    """Every task of the pipeline."""
    return [__getattr__(name) for name in __all__]
