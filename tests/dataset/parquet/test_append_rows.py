"""Parquet files whose last row groups are replaced, against files written at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.parquet.append_rows import Kept, TailFile
from pipeline.dataset.parquet.layout import Layout, RowGroupWriter, file_sha256
from pipeline.errors import StorageError
from tests.dataset.builders import SCHEMA, rows

JANUARY, FEBRUARY, MARCH, MORE, APRIL = (
    rows([dt.date(2020, month, day) for day in range(1, days + 1)], ("13010", "1301A"))
    for month, days in ((1, 31), (2, 29), (3, 9), (3, 12), (4, 2))
)


def write(path: Path, *tables: pa.Table) -> Path:
    with RowGroupWriter(path, SCHEMA, Layout(), "x") as writer:
        for table in tables:
            writer.write(table)
    return path


def put_behind(kept: Kept, path: Path, tables: Sequence[pa.Table]) -> str:
    """Write a file that goes on from another one; the checksum it gives."""

    class Writer(RowGroupWriter):
        def _sink(self) -> pa.NativeFile:
            return file.sink()

    with TailFile(kept, path) as file:
        with Writer(path, SCHEMA, Layout(), "x") as writer:
            for table in tables:
                writer.write(table)
        return file.finish()


@pytest.mark.parametrize("groups", [0, 1, 2, 3])
def test_the_bytes_are_those_of_a_file_written_at_once(tmp_path: Path, groups: int) -> None:
    """Row groups, page indexes, footer: with any number of row groups kept; so is the checksum."""
    old = write(tmp_path / "old", JANUARY, FEBRUARY, MARCH)
    tables = [JANUARY, FEBRUARY, MARCH if groups == 3 else MORE, APRIL]
    whole = write(tmp_path / "whole", *tables)
    kept = Kept(old, groups, file_sha256(old))
    told = put_behind(kept, tmp_path / "grown", tables[groups:])
    assert (tmp_path / "grown").read_bytes() == whole.read_bytes()
    assert told == file_sha256(whole)
    assert pq.read_table(tmp_path / "grown").equals(pq.read_table(whole))


def test_a_flaw_in_what_is_kept_does_not_pass(tmp_path: Path) -> None:
    """One bit has changed in the old file, in a row group that is kept or in another one."""
    old = write(tmp_path / "old", JANUARY, FEBRUARY, MARCH)
    recorded, content = file_sha256(old), old.read_bytes()
    groups = [pq.read_metadata(old).row_group(at) for at in (0, 1)]
    for place in (group.column(2).data_page_offset + 40 for group in groups):
        old.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(StorageError, match="not the one that was written"):
            put_behind(Kept(old, 1, recorded), tmp_path / "grown", [MARCH])


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """It has no footer: nothing is begun."""
    old = write(tmp_path / "old", JANUARY, FEBRUARY)
    old.write_bytes(old.read_bytes()[:-20])
    with pytest.raises(StorageError, match="cannot be read"), TailFile(Kept(old, 1, ""), old):
        pass
