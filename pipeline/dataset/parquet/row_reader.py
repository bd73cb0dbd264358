"""Rows of the Parquet files we write, by date and code: as few row groups and columns as will do.

The footer of a large dataset takes longer to read than a year of twenty columns, so it is read
once per file. Row groups hold a month each and have statistics on both keys; within one, rows are
sorted by Date, so the days that were asked for are a slice and nothing is compared row by row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.parquet.layout import CODE, DATE, parquet_file, reading
from pipeline.errors import MissingData
from pipeline.manifest import KEYS
from pipeline.market.calendar.periods import Period

_DAMAGED = "merge again: g5 merge-chunks --anew"
_DAMAGED_LABELS = "delete this file and run BuildLabels"
_NO_LABELS = "run BuildLabels"


@dataclass(frozen=True)
class Wanted:
    """Which rows.

    Attributes:
        first, last: days, both included.
        codes: of the stocks; None for all.
    """

    first: dt.date = dt.date.min
    last: dt.date = dt.date.max
    codes: tuple[str, ...] | None = None

    def within(self, rows: pa.Table) -> pa.Table:
        """Those of ``rows``, which are sorted by Date, that are wanted."""
        days = rows[DATE].combine_chunks().view(pa.int32()).to_numpy()
        edges = np.array([self.first, self.last], "datetime64[D]").astype(np.int64)
        start = int(np.searchsorted(days, edges[0], side="left"))
        stop = int(np.searchsorted(days, edges[1], side="right"))
        rows = rows.slice(start, max(stop - start, 0))
        if self.codes is None:
            return rows
        return rows.filter(pc.is_in(rows[CODE], value_set=pa.array(self.codes, pa.string())))


@dataclass(frozen=True)
class Group:
    """A row group: its number, its first and last day, its lowest and highest code."""

    number: int
    first: dt.date
    last: dt.date
    lowest: str
    highest: str

    def may_hold(self, wanted: Wanted) -> bool:
        """Whether a row of it can be wanted."""
        if self.first > wanted.last or self.last < wanted.first:
            return False
        return wanted.codes is None or any(
            self.lowest <= code <= self.highest for code in wanted.codes
        )


class RowsFile:
    """An open Parquet file of ours, to be closed. Its footer is read once.

    Args:
        hint: what helps when it is damaged.
    """

    def __init__(self, path: Path, hint: str = _DAMAGED) -> None:
        self.path = path
        self._hint = hint
        with reading(path, hint):
            self._file = parquet_file(path)

    def close(self) -> None:
        self._file.close()

    @cached_property
    def schema(self) -> pa.Schema:
        """Every column, without metadata of the file."""
        return self._file.schema_arrow.remove_metadata()

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All row groups, in order of time."""
        metadata = self._file.metadata
        found = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            day, code = (group.column(at).statistics for at in range(len(KEYS)))
            found.append(Group(number, day.min, day.max, code.min, code.max))
        return tuple(found)

    def fields(self, columns: Sequence[str]) -> pa.Schema:
        """The schema of the keys and some columns."""
        return pa.schema([self.schema.field(name) for name in (*KEYS, *columns)])

    def months(self, columns: Sequence[str], wanted: Wanted) -> Iterator[pa.Table]:
        """The wanted rows with the keys in front, one row group in memory at a time.

        Raises:
            StorageError: the file is damaged.
        """
        names = [*KEYS, *columns]
        for group in self.groups:
            if group.may_hold(wanted):
                with reading(self.path, self._hint):
                    rows = self._file.read_row_group(group.number, columns=names)
                rows = wanted.within(rows.select(names).replace_schema_metadata())
                if rows.num_rows:
                    yield rows

    def days(self) -> pa.Table:
        """Every date there is, once; ascending."""
        with reading(self.path, self._hint):
            table = self._file.read(columns=[DATE])
        return table.group_by(DATE).aggregate([]).sort_by(DATE)


class LabelFiles:
    """The files of the label table, opened as they are needed; to be closed.

    Raises:
        MissingData: there is no table.
        StorageError: its document is damaged.
    """

    def __init__(self, root: Path) -> None:
        self._store = LabelStore(root)
        self._document = self._store.read_document()
        self._files = ExitStack()
        self._open: dict[str, RowsFile] = {}

    def close(self) -> None:
        self._files.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Every label, in order."""
        return tuple(name for name in self._document["columns"] if name not in KEYS)

    def paths(self, wanted: Wanted) -> list[Path]:
        """The files that may hold wanted rows; at least one, which tells the columns."""
        chunks = self._chunks(wanted) or [self._document["parts"][0]["chunk_id"]]
        return [self._store.part_file(chunk_id) for chunk_id in chunks]

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """The schema of the keys and some labels."""
        first = self._document["parts"][0]["chunk_id"]
        return self._file(first).fields(names)

    def hold(self, groups: Sequence[Group]) -> None:
        """Refuse rows of a chunk that has no labels: they would all be null without a word.

        Raises:
            MissingData: naming the first day.
        """
        periods = [Period.parse(part["chunk_id"]) for part in self._document["parts"]]
        for group in groups:
            if not any(p.first_day <= group.first <= p.last_day for p in periods):
                raise MissingData(f"labels: none from {group.first} on", _NO_LABELS)

    def beside(self, rows: pa.Table, names: Sequence[str], wanted: Wanted) -> pa.Table:
        """Rows with their labels as further columns; null where there is none for a row.

        Args:
            rows: not empty, sorted by Date and Code, each once.
            wanted: what they were selected by.

        Raises:
            StorageError: a file is damaged.
        """
        own = replace(wanted, first=rows[DATE][0].as_py(), last=rows[DATE][-1].as_py())
        pieces = [
            piece
            for chunk_id in self._chunks(own)
            for piece in self._file(chunk_id).months(names, own)
        ]
        labels = pa.concat_tables([self.schema(names).empty_table(), *pieces])
        keys = rows.select(list(KEYS))
        if not labels.select(list(KEYS)).equals(keys):
            labels = keys.join(labels, list(KEYS), join_type="left outer").sort_by(
                [(key, "ascending") for key in KEYS]
            )
        for field in self.schema(names):
            if field.name not in KEYS:
                rows = rows.append_column(field, labels[field.name])
        return rows

    def _chunks(self, wanted: Wanted) -> list[str]:
        return [
            part["chunk_id"]
            for part in self._document["parts"]
            if part["rows"]
            and part["output_start"] <= str(wanted.last)
            and part["output_end"] >= str(wanted.first)
        ]

    def _file(self, chunk_id: str) -> RowsFile:
        if chunk_id not in self._open:
            file = RowsFile(self._store.part_file(chunk_id), _DAMAGED_LABELS)
            self._open[chunk_id] = self._files.enter_context(closing(file))
        return self._open[chunk_id]


def nulled_after(rows: pa.Table, last_known: Mapping[str, dt.date | None]) -> pa.Table:
    """Rows with some columns null on every day after one of their own; None nulls them all."""
    for name, day in last_known.items():
        at = rows.column_names.index(name)
        nothing: pa.Scalar[Any] = pa.scalar(None, rows.field(at).type)
        known = (
            pa.scalar(value=False)
            if day is None
            else pc.less_equal(rows[DATE], pa.scalar(day, pa.date32()))
        )
        values = pc.if_else(known, rows[name], nothing)
        rows = rows.set_column(at, rows.field(at), values)
    return rows
