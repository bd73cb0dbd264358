"""Point-in-time dataset pipeline for Tokyo stocks.

The tasks are exported here, so that ``luigi --module pipeline BuildAll ...`` finds them. They are
imported at once when Luigi is already loaded, which is how its command works, and on first use
otherwise: ``import pipeline.market`` alone must not start a scheduler's worth of imports, and the
process of a task needs that one.

``pipeline.load`` reads the published dataset. It comes without Luigi and leaves the process as it
is: start method and signal handlers of a notebook stay its own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING


def _is_luigi_command() -> bool:
    if "luigi" not in sys.modules:
        return False
    import multiprocessing

    return multiprocessing.parent_process() is None


if TYPE_CHECKING or _is_luigi_command():
    from pipeline.tasks import (
        BuildAll,
        BuildChunk,
        BuildLabels,
        BuildReport,
        FetchSource,
        MergeChunks,
        ValidateSchema,
    )

if TYPE_CHECKING:
    from pipeline.loading import load

__all__ = [
    "BuildAll",
    "BuildChunk",
    "BuildLabels",
    "BuildReport",
    "FetchSource",
    "MergeChunks",
    "ValidateSchema",
    "load",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "load":
        from pipeline import loading

        return loading.load
    from pipeline import tasks

    return getattr(tasks, name)
