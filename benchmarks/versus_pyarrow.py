"""Encoding: a month of a chunk as the build writes it, and with pyarrow's ``write_table`` alone.

Both write one row group of the same table with zstd, in one thread, to the same folder. The build
also checks the order of the keys, counts nulls, and chooses an encoding for every column.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.parquet.layout import Layout, RowGroupWriter
from pipeline.features.engine import catalogue

_RUNS = 3


@dataclass(frozen=True)
class Comparison:
    """Seconds, the best of some runs each, and bytes of the files.

    Attributes:
        table_bytes: size of the table in memory.
    """

    ours_s: float
    pyarrow_s: float
    ours_bytes: int
    pyarrow_bytes: int
    table_bytes: int

    @property
    def ratio(self) -> float:
        return self.ours_s / self.pyarrow_s

    def line(self) -> str:
        """For people."""
        return (
            f"encoding a month of {self.table_bytes / 2**20:,.0f} MiB: {self.ours_s:.2f} s to "
            f"{self.ours_bytes / 2**20:,.0f} MiB, pyarrow's write_table {self.pyarrow_s:.2f} s to "
            f"{self.pyarrow_bytes / 2**20:,.0f} MiB"
        )


def compare(rows: pa.Table, folder: Path) -> Comparison:
    """Time both, in turn, on the disk of ``folder``."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="encoding-") as name:
        ours, bare = Path(name) / "ours.parquet", Path(name) / "bare.parquet"
        runs = [(_seconds(_ours, rows, ours), _seconds(_bare, rows, bare)) for _ in range(_RUNS)]
        sizes = ours.stat().st_size, bare.stat().st_size
    ours_s, bare_s = (min(taken) for taken in zip(*runs, strict=True))
    return Comparison(ours_s, bare_s, *sizes, rows.nbytes)


def _seconds(write: Callable[[pa.Table, Path], None], rows: pa.Table, path: Path) -> float:
    began = time.perf_counter()
    write(rows, path)
    return time.perf_counter() - began


def _ours(rows: pa.Table, path: Path) -> None:
    layout = Layout(repeating=catalogue.repeating_columns())
    with RowGroupWriter(path, rows.schema, layout, "benchmark") as writer:
        writer.write(rows)


def _bare(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, compression="zstd", row_group_size=rows.num_rows)
