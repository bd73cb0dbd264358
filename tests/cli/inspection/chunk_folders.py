"""Folders of small chunks for the commands that check and merge them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import cli
from pipeline import manifest as m
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.filesystem.documents import write_document
from pipeline.market.calendar.periods import Period
from tests.dataset.builders import COLUMNS, build, clock, rows

MANIFEST = m.Manifest("1.2.0", "2024-06-03T08:00:00Z", "test", COLUMNS)
OTHER = (*COLUMNS[:3], m.Column("is_traded", "Int16"), m.Column("more", "Float32"))


@dataclass(frozen=True)
class Folder:
    """An output root with chunks, and a manifest that agrees with them."""

    root: Path
    manifest: Path

    @property
    def store(self) -> ChunkStore:
        return ChunkStore(self.root, clock)

    def add(self, *chunk_ids: str, **changes: Any) -> None:
        """Good chunks, of the first day of their periods."""
        for chunk_id in chunk_ids:
            period = Period.parse(chunk_id)
            covered = {"covered_from": period.first_day, "covered_to": period.last_day}
            build(self.store, chunk_id, rows([period.first_day]), **(covered | changes))

    def add_other(self, chunk_id: str) -> None:
        """A chunk of another schema: one column missing, one extra, one of another type."""
        period = Period.parse(chunk_id)
        table = rows([period.first_day]).select([0, 1, 2, 3])
        table = table.set_column(3, "is_traded", table["is_traded"].cast(pa.int16()))
        table = table.append_column("more", pa.array([1.0, 2.0], pa.float32()))
        build(
            self.store, chunk_id, table, schema=m.arrow_schema(OTHER, "1.0.0"),
            covered_from=period.first_day, covered_to=period.last_day,
        )  # fmt: skip

    def edit(self, chunk_id: str, **changes: Any) -> None:
        """Change some fields of a status."""
        path = self.store.status_path(chunk_id)
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    def contents(self) -> dict[Path, bytes]:
        """Every file, to see that nothing was lost."""
        return {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def run(self, command: str, *flags: str) -> int:
        """A command on these chunks, in this process."""
        return cli.main([command, "--chunks-dir", str(self.store.folder), *flags])

    def call(self, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """The same, with what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = self.run(command, *flags)
        return subprocess.CompletedProcess([command, *flags], code, out.getvalue(), err.getvalue())

    def start(self, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """A command on these chunks, in a process of its own."""
        words = [sys.executable, "-m", "pipeline.cli", command]
        folder = ["--chunks-dir", str(self.store.folder)]
        return subprocess.run(
            [*words, *folder, *flags], capture_output=True, text=True, check=False, timeout=60
        )


def folder_with(root: Path, *chunk_ids: str) -> Folder:
    """A folder with these chunks."""
    path = root / "manifest.json"
    write_document(path, "manifest", m.to_json(MANIFEST))
    folder = Folder(root / "output", path)
    folder.add(*chunk_ids)
    return folder
