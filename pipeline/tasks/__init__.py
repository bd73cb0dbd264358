"""The Luigi tasks, in the order they run. The only importer of Luigi.

Importing the package prepares the process: start method, signals, settings, logging. The tasks
themselves are imported on first use, so that a command which reads status files and a process
which runs one task do not load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.tasks import config, logs, runtime

if runtime.is_main_process():
    runtime.prepare_main_process()
config.install_defaults()
logs.configure()

from pipeline.tasks import failures, leading, recording  # noqa: E402  (after Luigi's settings)

failures.install()
recording.install()
leading.install()

if TYPE_CHECKING:
    from pipeline.tasks.build import BuildAll
    from pipeline.tasks.chunks import BuildChunk
    from pipeline.tasks.dataset import MergeChunks
    from pipeline.tasks.labels import BuildLabels
    from pipeline.tasks.report import BuildReport
    from pipeline.tasks.snapshots import FetchSource
    from pipeline.tasks.validation import ValidateSchema

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
    "FetchSource": "snapshots",
    "BuildChunk": "chunks",
    "ValidateSchema": "validation",
    "MergeChunks": "dataset",
    "BuildLabels": "labels",
    "BuildReport": "report",
    "BuildAll": "build",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
