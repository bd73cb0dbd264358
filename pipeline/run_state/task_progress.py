"""Progress of running tasks: ``run/progress/<task>.json``, for whoever watches the run.

Task processes write them, the process a person started reads them and alone draws on the terminal.
They are of no use after the run; so they are renamed into place, but not forced to disk.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import make_folder, os_errors
from pipeline.filesystem.location import on_host

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Attributes:
        run_id: its run.
        task: family and which of its kind, such as ``FetchSource index_option``.
        what: is being done, for people.
        unit: of ``done`` and ``total``.
        began, told: when it began and when this was written, seconds since the epoch.
    """

    run_id: str
    task: str
    what: str
    unit: str
    done: int
    total: int
    began: float
    told: float


class ProgressBoard:
    """The progress files of an output root."""

    def __init__(self, root: Path) -> None:
        self.folder = on_host(root) / "run" / "progress"

    def write(self, progress: Progress) -> None:
        """Write or replace the file of a task.

        Raises:
            StorageError: the file system refused.
        """
        path = self.folder / f"{_UNSAFE.sub('_', progress.task)}.json"
        content = documents.encode_document(path, "progress", asdict(progress))
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with os_errors(path):
            make_folder(self.folder)
            temporary.write_bytes(content)
            temporary.replace(path)

    def of_run(self, run_id: str) -> list[Progress]:
        """The progress of a run's tasks, in the order in which they began.

        Files that cannot be read, such as those just removed, are skipped.
        """
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(PipelineError):
                found.append(Progress(**documents.read_document(path, "progress")))
        return sorted((p for p in found if p.run_id == run_id), key=lambda p: (p.began, p.task))

    def clear(self) -> None:
        """Remove all files: the run has ended, or a new one begins.

        Raises:
            StorageError: the file system refused.
        """
        with os_errors(self.folder, "cannot be cleared"):
            for path in [*self.folder.glob("*.json"), *self.folder.glob(".*.json.*")]:
                path.unlink(missing_ok=True)
