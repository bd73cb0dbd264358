"""Reports: ``reports/report_<UTC time>.html``, each with the facts the next one compares itself to.

A report (1) is written under a name of its own, page first; (2) gets its facts beside it;
(3) ``latest.html`` turns to it; (4) the receipt ``latest.json`` says which chunk builds it is of,
which is the commit; (5) all but the newest reports go. Killed at any point, the next report is
made as if this one had never been.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset.chunk_store import Clock, utc_now
from pipeline.errors import PipelineError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import os_errors, point_at, pointed_at, remove_file, write_bytes
from pipeline.filesystem.location import is_remote, read_bytes

Document = dict[str, Any]

KEPT = 10

_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"report_[0-9]{8}T[0-9]{6}Z\.(html|json)")


@dataclass(frozen=True)
class Report:
    """A report on disk."""

    path: Path
    receipt: Mapping[str, Any]


class ReportStore:
    """The ``reports/`` folder of an output root."""

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self.folder = root / "reports"
        self.latest_path = self.folder / "latest.html"
        self.receipt_path = self.folder / "latest.json"
        self._clock = clock

    def latest(self) -> Report | None:
        """The newest report; None when there is none, or none that is whole."""
        try:
            receipt = documents.read_document(self.receipt_path, "report")
        except PipelineError:
            return None
        path = self.folder / receipt["report"]
        whole = _size(path) == receipt["bytes"] and self._shows(path)
        return Report(path, receipt) if whole else None

    def earlier(self, origin: str) -> Document | None:
        """The facts of the newest report of this origin that has usable ones."""
        for path in sorted(self.folder.glob("report_*.json"), reverse=True):
            try:
                facts = documents.read_document(path, "report_facts")
            except PipelineError:
                continue
            if facts["origin"] == origin:
                return facts
        return None

    def write(self, page: str, facts: Document, keep: int = KEPT) -> Report:
        """Publish a report.

        Args:
            page: the HTML.
            facts: for the next report; they say which chunk builds it was made from.
            keep: how many reports remain, this one included.

        Raises:
            StorageError: the facts break their schema, or the file system refused.
        """
        path = self._new_path()
        content = page.encode()
        write_bytes(path, content)
        documents.write_document(path.with_suffix(".json"), "report_facts", facts)
        self._show(path)
        receipt = {
            "report": path.name,
            "bytes": len(content),
            "generated_at": facts["generated_at"],
            "run_id": facts["run_id"],
            "origin": facts["origin"],
            "inputs": facts["inputs"],
        }
        documents.write_document(self.receipt_path, "report", receipt)
        self.prune(keep)
        return Report(path, receipt)

    def prune(self, keep: int = KEPT) -> list[Path]:
        """Remove all but the newest ``keep`` reports with their facts.

        Raises:
            StorageError: the file system refused.
        """
        with os_errors(self.folder):
            paths = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
            names = sorted({path.stem for path in paths}, reverse=True)
            removed = sorted(path for path in paths if path.stem in names[keep:])
            for path in removed:
                remove_file(path)
        return removed

    def _show(self, path: Path) -> None:
        if is_remote(path):  # where a browser follows no pointers of ours
            write_bytes(self.latest_path, _turning_to(path))
        else:
            point_at(self.latest_path, path.name)

    def _shows(self, path: Path) -> bool:
        try:
            if is_remote(path):
                return read_bytes(self.latest_path) == _turning_to(path)
            return pointed_at(self.latest_path) == path.name
        except OSError:
            return False

    def _new_path(self) -> Path:
        """A name not yet taken, after all that are: the order of names is that of time."""
        moment = self._clock().astimezone(dt.UTC)
        taken = [path.stem for path in self.folder.glob("report_*") if _NAME.fullmatch(path.name)]
        if taken:
            newest = dt.datetime.strptime(max(taken), f"report_{_STAMP}").replace(tzinfo=dt.UTC)
            moment = max(moment, newest + dt.timedelta(seconds=1))
        return self.folder / f"report_{moment:{_STAMP}}.html"


def _turning_to(path: Path) -> bytes:
    """A page that takes its reader to another one."""
    return f'<!doctype html><meta http-equiv="refresh" content="0; url={path.name}">\n'.encode()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
