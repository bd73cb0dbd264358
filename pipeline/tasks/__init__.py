"""The Luigi tasks, in the order they run. The only importer of Luigi."""

from __future__ import annotations

from pipeline.tasks import config, logs, runtime

if runtime.is_main_process():
    runtime.prepare_main_process()
config.install_defaults()
logs.configure()

from pipeline.tasks import failures, recording  # noqa: E402  (after the settings Luigi reads)
from pipeline.tasks.build import BuildAll  # noqa: E402
from pipeline.tasks.chunks import BuildChunk  # noqa: E402
from pipeline.tasks.dataset import MergeChunks  # noqa: E402
from pipeline.tasks.labels import BuildLabels  # noqa: E402
from pipeline.tasks.report import BuildReport  # noqa: E402
from pipeline.tasks.snapshots import FetchSource  # noqa: E402
from pipeline.tasks.validation import ValidateSchema  # noqa: E402

failures.install()
recording.install()

__all__ = [
    "BuildAll",
    "BuildChunk",
    "BuildLabels",
    "BuildReport",
    "FetchSource",
    "MergeChunks",
    "ValidateSchema",
]
