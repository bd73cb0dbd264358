"""Progress of running tasks: ``run/progress/<task>.json``, for whoever watches the run.

Task processes write, the process a person started reads: so nobody draws on a terminal but it.
The files say what is going on at this moment and are worth nothing afterwards. They are renamed
into place, so a reader sees whole ones, but not forced to disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
        began, told: seconds since the epoch.
    """

    run_id: str
    task: str
    what: str
    unit: str
    done: int
    total: int
    began: float
    told: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Progress:
        return cls(**document)


class ProgressBoard:
    """The progress files of an output root."""

    def __init__(self, root: Path) -> None:
        self.folder = on_host(root) / "run" / "progress"

    def tell(self, progress: Progress) -> None:
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
        """The tasks of a run that told how far they are, in the order in which they began.

        Files that cannot be read, as those just removed, are passed over.
        """
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(PipelineError):
                found.append(Progress.from_json(documents.read_document(path, "progress")))
        return sorted((p for p in found if p.run_id == run_id), key=lambda p: (p.began, p.task))

    def clear(self) -> None:
        """Remove all files: the run has ended, or a new one begins.

        Raises:
            StorageError: the file system refused.
        """
        with os_errors(self.folder, "cannot be cleared"):
            for path in [*self.folder.glob("*.json"), *self.folder.glob(".*.json.*")]:
                path.unlink(missing_ok=True)
