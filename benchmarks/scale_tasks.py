"""The tasks of the simulated cluster: chunks that sleep instead of computing.

Nothing but Luigi is imported here: 64 worker processes share the cores of one machine. What luigid
sees of a task is what it sees of ours: number of dependencies, priority, progress, messages.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import luigi


class Source(luigi.Task):
    """A source that was fetched before."""

    number = luigi.IntParameter()

    def complete(self) -> bool:
        return True


class Chunk(luigi.Task):
    """A chunk whose work is a sleep; its file says who did it and when."""

    number = luigi.IntParameter()
    seconds = luigi.FloatParameter()
    sources = luigi.IntParameter()
    steps = luigi.IntParameter()
    folder = luigi.Parameter()

    @property
    def priority(self) -> int:
        return int(self.number)

    def requires(self) -> list[luigi.Task]:
        return [Source(number=number) for number in range(self.sources)]

    def complete(self) -> bool:
        return self._path.exists()

    def run(self) -> None:
        began = time.time()
        for step in range(self.steps + 1):
            self.set_progress_percentage(100 * step // self.steps)
            self.set_status_message(f"chunk {self.number}: {step} of {self.steps} steps")
            if step < self.steps:
                time.sleep(self.seconds / self.steps)
        _commit(self._path, {"began": began, "ended": time.time(), "pid": os.getpid()})

    @property
    def _path(self) -> Path:
        return Path(self.folder) / f"chunk-{self.number}.json"


class Dataset(luigi.Task):
    """What waits for all chunks."""

    chunks = luigi.IntParameter()
    seconds = luigi.FloatParameter()
    sources = luigi.IntParameter()
    steps = luigi.IntParameter()
    folder = luigi.Parameter()

    def requires(self) -> list[luigi.Task]:
        shared = {name: getattr(self, name) for name in ("seconds", "sources", "steps", "folder")}
        return [Chunk(number=number, **shared) for number in range(self.chunks)]

    def complete(self) -> bool:
        return self._path.exists()

    def run(self) -> None:
        _commit(self._path, {"ended": time.time(), "pid": os.getpid()})

    @property
    def _path(self) -> Path:
        return Path(self.folder) / "dataset.json"


class Idle(luigi.WrapperTask):
    """The root of a worker that only helps."""


def _commit(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)
