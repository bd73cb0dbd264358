"""Run history: ``run/history/<run_id>.json``, a record of every run that locked the root.

1. The record is begun, as ``running``, when the run may write.
2. Every task that ends in a task process adds a line to ``<run_id>.notes`` beside it.
3. At the end the record is completed from the notes, the status of the chunks and the published
   dataset, and the notes are removed.

A killed run does not reach (3). A reader that finds a ``running`` record without its process
completes it in the same way, as ``killed``; the next run saves that. The commands of one
``g5 daily`` share a run id and so a record.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from pipeline.dataset.chunk_store import ChunkStore, utc_now
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData, PipelineError, UsageError
from pipeline.exit_codes import is_signal
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import make_folder, os_errors
from pipeline.filesystem.document_types import RunChunk, RunDocument, RunOutputs, RunStep
from pipeline.filesystem.location import on_host
from pipeline.run_state.pid_file import lives

KEPT = 500

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_RUNNING = b'"outcome": "running"'
_LABELS = "labels/labels.json"
_Outcome = Literal["done", "nothing", "failed", "stopped"]


@dataclass(frozen=True)
class Note:
    """A task that ended.

    Attributes:
        name: task family and which of its kind, such as ``FetchSource index_option``.
        began: seconds since the epoch.
        error: in one line; None when it succeeded.
        stopped: it ended because somebody asked it to.
        peak_rss_bytes: of its process.
        requests: sent by it, by source.
    """

    name: str
    began: float
    seconds: float
    error: str | None = None
    stopped: bool = False
    peak_rss_bytes: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How a run ended.

    Attributes:
        exit_code: of its command.
        error: of the main process; None: that of the first failed step.
        peak_rss_bytes: of the main process.
        requests: sent by the main process, by source.
    """

    exit_code: int
    error: str | None = None
    peak_rss_bytes: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)


class RunHistory:
    """The records of an output root.

    Args:
        root: the output root; ``run/history/`` is created with the first record.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = on_host(root) / "run" / "history"

    def records(self, last: int = KEPT) -> list[RunDocument]:
        """The records, the newest first, without damaged ones.

        Args:
            last: read no more than these.

        Raises:
            StorageError: the folder is there but cannot be read.
        """
        return self._those(self._paths()[:last])

    def find(self, prefix: str) -> RunDocument:
        """The record whose run id begins like this.

        Raises:
            MissingData: there is none.
            UsageError: there are several.
        """
        named = [path for path in self._paths() if path.name.startswith(_safe(prefix))]
        found = [record for record in self._those(named) if record["run_id"].startswith(prefix)]
        exact = [record for record in found if record["run_id"] == prefix]
        if not found:
            raise MissingData(f"run {prefix}: not in {self.folder}", "g5 runs lists what is there")
        if len(found) > 1 and not exact:
            ids = ", ".join(record["run_id"] for record in found[:5])
            raise UsageError(f"run {prefix}: {len(found)} runs begin so: {ids}", "give more of it")
        return (exact or found)[0]

    def so_far(self, run_id: str) -> RunDocument | None:
        """The record of a run with everything done so far; None without one."""
        record = self._read(self._path(run_id))
        now = self._as_it_is(record) if record is not None else None
        if now is None or now["outcome"] != "running":
            return now
        return self._completed(now, self._notes(run_id))

    def begin(self, run: Mapping[str, Any]) -> None:
        """Begin the record of this process, or continue that of its run.

        Also completes the records of killed runs and removes the oldest.

        Args:
            run: run_id, task, parameters, settings, profile, code_version and origin.

        Raises:
            StorageError: the file system refused, or something of ``run`` is malformed.
        """
        self._settle()
        earlier = self._read(self._path(run["run_id"]))
        new = {
            **run,
            "started_at": utc_now().isoformat(timespec="seconds"),
            "chunks": [],
            "steps": [],
            "inputs": [],
            "outputs": {"dataset": None, "dataset_hash": None, "labels": None},
            "peak_rss_bytes": None,
            "requests": {},
        }
        self._write(
            {
                **(earlier or cast(RunDocument, new)),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "finished_at": None,
                "outcome": "running",
                "exit_code": None,
                "error": None,
            }
        )

    def note(self, run_id: str, note: Note) -> None:
        """Note that a task ended. Safe from several processes at a time.

        Raises:
            StorageError: the file system refused.
        """
        path = self._notes_path(run_id)
        line = json.dumps(asdict(note), ensure_ascii=False) + "\n"
        with os_errors(path):
            make_folder(path.parent)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)

    def finish(self, run_id: str, end: End) -> RunDocument:
        """Complete the record of a run; returns it.

        Raises:
            MissingData, StorageError: there is no usable record of it, or the file system refused.
        """
        record = cast(RunDocument, documents.read_document(self._path(run_id), "run"))
        notes = self._notes(run_id)
        facts = self._completed(record, notes)
        at_most = max(end.peak_rss_bytes + peak_of(notes), facts["peak_rss_bytes"] or 0)
        done: RunDocument = {
            **facts,
            "finished_at": utc_now().isoformat(timespec="seconds"),
            "outcome": _outcome(end, notes, facts),
            "exit_code": end.exit_code,
            "error": (end.error or _first_error(notes)) if end.exit_code else None,
            "peak_rss_bytes": at_most or None,
            "requests": _sum(facts["requests"], end.requests),
        }
        self._write(done)
        self._drop_notes(run_id)
        return done

    def _settle(self) -> None:
        """Complete the records of killed runs, and remove all but the newest records."""
        paths = self._paths()
        with os_errors(self.folder, "cannot be read"):
            # A substring: checking hundreds of records against their schema takes long.
            running = [path for path in paths if _RUNNING in path.read_bytes()]
        for path in running:
            record = self._read(path)
            if record is not None and (now := self._as_it_is(record)) is not record:
                self._write(now)
                self._drop_notes(record["run_id"])
        for path in paths[KEPT - 1 :]:
            with os_errors(path, "cannot be deleted"):
                path.unlink(missing_ok=True)
                path.with_suffix(".notes").unlink(missing_ok=True)

    def _as_it_is(self, record: RunDocument) -> RunDocument:
        """The record itself, or completed as killed if its process is gone."""
        began = dt.datetime.fromisoformat(record["started_at"])
        here = record["host"] == socket.gethostname()
        if record["outcome"] != "running" or not here or lives(record["pid"], began):
            return record
        notes = self._notes(record["run_id"])
        facts = self._completed(record, notes)
        return {**facts, "outcome": "killed", "error": _first_error(notes)}

    def _completed(self, record: RunDocument, notes: Sequence[Note]) -> RunDocument:
        """The record with what the run did since, by its notes and chunks."""
        store = ChunkStore(self.root)
        statuses = [status for status in store.statuses().values() if status is not None]
        own = [status for status in statuses if status["run_id"] == record["run_id"]]
        chunks = {chunk["chunk_id"]: chunk for chunk in record["chunks"]}
        chunks |= {status["chunk_id"]: chunk_of(status) for status in own}
        keys = {key for status in own for key in status["inputs"]}
        peak = max(record["peak_rss_bytes"] or 0, peak_of(notes))
        return {
            **record,
            "chunks": [chunks[chunk_id] for chunk_id in sorted(chunks)],
            "steps": [*record["steps"], *map(_step, notes)],
            "inputs": sorted({*record["inputs"], *keys}),
            "outputs": self._outputs(record["outputs"], notes),
            "peak_rss_bytes": peak or None,
            "requests": _sum(record["requests"], *(note.requests for note in notes)),
        }

    def _outputs(self, earlier: RunOutputs, notes: Sequence[Note]) -> RunOutputs:
        """With the outputs of the steps that succeeded."""
        succeeded = {note.name for note in notes if note.error is None}
        outputs = earlier.copy()
        if "MergeChunks" in succeeded and (dataset := self._dataset()) is not None:
            outputs["dataset"] = dataset["dataset"]
            outputs["dataset_hash"] = dataset["dataset_hash"]
        if "BuildLabels" in succeeded:
            outputs["labels"] = _LABELS
        return outputs

    def _dataset(self) -> Mapping[str, Any] | None:
        try:
            latest = DatasetStore(self.root).latest()
        except PipelineError:
            return None
        return latest.metadata if latest else None

    def _notes(self, run_id: str) -> list[Note]:
        """The notes in the order written, without a line cut off by a kill."""
        try:
            lines = self._notes_path(run_id).read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []
        notes = []
        for line in lines:
            try:
                notes.append(Note(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return notes

    def _read(self, path: Path) -> RunDocument | None:
        try:
            return cast(RunDocument, documents.read_document(path, "run"))
        except PipelineError:
            return None

    def _write(self, record: RunDocument) -> None:
        documents.write_document(self._path(record["run_id"]), "run", record)

    def _drop_notes(self, run_id: str) -> None:
        path = self._notes_path(run_id)
        with os_errors(path, "cannot be deleted"):
            path.unlink(missing_ok=True)

    def _those(self, paths: Iterable[Path]) -> list[RunDocument]:
        read = [self._read(path) for path in paths]
        found = [self._as_it_is(record) for record in read if record is not None]
        return sorted(found, key=_began, reverse=True)

    def _paths(self) -> list[Path]:
        """The paths of the records, latest first."""
        with os_errors(self.folder, "cannot be read"):
            paths = list(self.folder.glob("*.json")) if self.folder.is_dir() else []
            return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _path(self, run_id: str) -> Path:
        return self.folder / f"{_safe(run_id)}.json"

    def _notes_path(self, run_id: str) -> Path:
        return self.folder / f"{_safe(run_id)}.notes"


def peak_of(notes: Sequence[Note]) -> int:
    """Upper bound of the memory that the processes of these tasks held at a time, in bytes.

    Each counts with its peak for as long as it ran; exact for one worker.
    """
    ends = [
        (moment, change)
        for note in notes
        for moment, change in (
            (note.began, note.peak_rss_bytes),
            (note.began + note.seconds, -note.peak_rss_bytes),
        )
    ]
    held = most = 0
    for _, change in sorted(ends):
        held += change
        most = max(most, held)
    return most


def _safe(run_id: str) -> str:
    """As a file name: the id may come from the environment."""
    return _UNSAFE.sub("_", run_id)


def _outcome(end: End, notes: Sequence[Note], facts: RunDocument) -> _Outcome:
    if end.exit_code == 0:
        return "done" if facts["steps"] else "nothing"
    by_signal = is_signal(end.exit_code)
    return "stopped" if by_signal or any(note.stopped for note in notes) else "failed"


def _first_error(notes: Sequence[Note]) -> str | None:
    failed = (f"{note.name}: {note.error}" for note in notes if note.error is not None)
    return next(failed, None)


def chunk_of(status: Mapping[str, Any]) -> RunChunk:
    """A chunk in a record, by its status."""
    ends = [status["started_at"], status["finished_at"]]
    began, ended = (dt.datetime.fromisoformat(text) if text else None for text in ends)
    return {
        "chunk_id": status["chunk_id"],
        "state": status["state"],
        "rows": status["rows"],
        "seconds": (ended - began).total_seconds() if began and ended else None,
        "bytes": status["parquet_bytes"],
    }


def _step(note: Note) -> RunStep:
    began = dt.datetime.fromtimestamp(note.began, dt.UTC)
    return {
        "name": note.name,
        "started_at": began.isoformat(timespec="milliseconds"),
        "seconds": round(note.seconds, 3),
        "error": note.error,
    }


def _sum(*counts: Mapping[str, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _began(record: RunDocument) -> dt.datetime:
    return dt.datetime.fromisoformat(record["started_at"])
