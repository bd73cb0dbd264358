"""Measuring a chunk for the report: few columns, month by month.

Per month are read the keys of the coverage, the dozen features whose drift is followed, and those
base columns that have nulls, of which only the nulls are counted. A column that is full or empty
over the whole chunk, by the chunk's metadata, is not read at all, nor is any derived column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.dataset.parquet.layout import DATE, reading
from pipeline.report.chunk_profile import (
    DRIFT,
    MARKET,
    TIER,
    Month,
    Profile,
    month_of,
    partly_null,
    sessions_of,
)

_AT_ONCE = 64  # columns in memory


def profile_of(
    path: Path, rates: Mapping[str, float], members: Mapping[str, Mapping[int, int]] | None
) -> Profile:
    """Measure a chunk.

    Args:
        path: its Parquet file.
        rates: null rate by column, of its metadata.
        members: by ISO date and tier; None where they are not known.

    Raises:
        StorageError: the file cannot be read, or lacks a base column.
    """
    with reading(path):
        file = pq.ParquetFile(path)
    with file, reading(path):
        sessions = sessions_of(file.read([DATE, TIER, *MARKET]), members)
        months = {
            month: _month(file, groups, rates) for month, groups in _groups_by_month(file).items()
        }
    return Profile(sessions, months)


def _month(file: pq.ParquetFile, groups: Sequence[int], rates: Mapping[str, float]) -> Month:
    values = file.read_row_groups(groups, list(DRIFT))
    counted: dict[str, int] = {}
    for names in _batches(partly_null(rates)):
        table = file.read_row_groups(groups, names)
        counted |= {name: table[name].null_count for name in names}
    return month_of(values.num_rows, rates, counted, values)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield list(names[start : start + _AT_ONCE])


def _groups_by_month(file: pq.ParquetFile) -> dict[str, list[int]]:
    """Row groups by the month they lie in, which the statistics of the date tell."""
    months: dict[str, list[int]] = defaultdict(list)
    at = file.schema_arrow.get_field_index(DATE)
    for group in range(file.num_row_groups):
        column = file.metadata.row_group(group).column(at)
        months[str(column.statistics.min)[:7]].append(group)
    return dict(months)
