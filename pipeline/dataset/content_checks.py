"""What the values of a chunk look like, beside its shape. Findings are warnings, not refusals.

Everything is seen once, on its way into the file, so that nothing is read for it:

1. values: no float is infinite or NaN, and a column with a declared range stays inside;
2. rows of each session against the number the listing records give;
3. null rates against the last good build of the same chunk. A build with a finding here is not
   good itself: it carries the rates it was compared with on to the next one.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.parquet.layout import DATE, Layout, RowGroupWriter

Document = Mapping[str, Any]
Ranges = Mapping[str, tuple[float, float]]

NULL_RATE_RISE = 0.1
_SIZE = (0.8, 1.25)  # rows against the earlier build: a chunk that grew a lot is another one
_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """What was found in the values of a row group.

    Attributes:
        month: of its rows, YYYY-MM.
        not_finite: columns with values that are infinite or NaN.
        outside: columns with values outside their declared range.
    """

    month: str
    not_finite: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


class ChunkWriter(RowGroupWriter):
    """Writes row groups like its base, and looks at the values.

    Args:
        ranges: lowest and highest value by column, where the catalogue declares them.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, layout: Layout, what: str, ranges: Ranges
    ) -> None:
        super().__init__(path, schema, layout, what)
        self._ranges = ranges
        self._findings: list[Finding] = []
        self._rows_on: Counter[dt.date] = Counter()
        self._expected: Mapping[dt.date, int] | None = None
        self._notes: list[str] = []

    def expect_rows(self, by_session: Mapping[dt.date, int]) -> None:
        """Say how many rows the listing records give for each session of the chunk."""
        self._expected = by_session

    def note(self, lines: Iterable[str]) -> None:
        """Add warnings about what the values were made of, one line each."""
        self._notes += lines

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add one row group, see ``RowGroupWriter.write``."""
        super().write(rows)
        for count in pc.value_counts(rows.column(DATE)):
            self._rows_on[count["values"].as_py()] += count["counts"].as_py()
        if rows.num_rows:
            self._look_at(rows)

    def findings(self) -> list[Finding]:
        """What was found in the values, of each row group with something to say."""
        return list(self._findings)

    def warnings(self) -> list[str]:
        """What was found in the values, in what they were made of and in the number of rows, one
        line each."""
        lines = list(self._notes)
        not_finite = dict.fromkeys(n for found in self._findings for n in found.not_finite)
        if not_finite:
            lines.append(f"values not finite in {_columns(list(not_finite))}")
        outside = dict.fromkeys(n for found in self._findings for n in found.outside)
        if outside:
            named = [f"{name} {list(self._ranges.get(name, ()))}" for name in outside]
            lines.append(f"values outside their range in {_columns(named)}")
        if self._expected is not None:
            lines += _row_warnings(self._expected, self._rows_on)
        return lines

    def _look_at(self, rows: pa.Table | pa.RecordBatch) -> None:
        not_finite, outside = [], []
        for field in rows.schema:
            column = rows.column(field.name)
            if pa.types.is_floating(field.type) and not _finite(column):
                not_finite.append(field.name)
            if field.name in self._ranges and not _inside(column, *self._ranges[field.name]):
                outside.append(field.name)
        if not_finite or outside:
            month = f"{rows.column(DATE)[0].as_py():%Y-%m}"
            self._findings.append(Finding(month, tuple(not_finite), tuple(outside)))


def good_build(metadata: Document | None) -> Document | None:
    """The rates to compare a new build with: those of a build, or of the good one before it."""
    if metadata is None:
        return None
    facts = {field: metadata[field] for field in ("origin", "feature_schema_version")}
    own = {field: metadata[field] for field in ("build_id", "rows", "null_rates")}
    good: Document = metadata["last_good"] or own
    return {**facts, "unavailable": metadata["unavailable"], **good}


def null_rate_warnings(new: Document, good: Document | None) -> list[str]:
    """Columns in which nulls became much more frequent, as at most one line.

    Builds of another origin, manifest version, set of sources or size are not compared: their
    rates differ for a reason.

    Args:
        new: metadata of the present build.
        good: what ``good_build`` gave.
    """
    if good is None or not _comparable(new, good):
        return []
    before, now = good["null_rates"], new["null_rates"]
    rises = {
        name: (before[name], rate)
        for name, rate in now.items()
        if name in before and (rate - before[name] > NULL_RATE_RISE or before[name] < rate == 1.0)
    }
    if not rises:
        return []
    worst = sorted(rises, key=lambda name: rises[name][0] - rises[name][1])
    named = [f"{name} {rises[name][0]:.3f} -> {rises[name][1]:.3f}" for name in worst]
    return [f"more nulls than in build {good['build_id'][:8]} in {_columns(named)}"]


def _comparable(new: Document, good: Document) -> bool:
    same = ("origin", "feature_schema_version", "unavailable")
    smallest, largest = (share * good["rows"] for share in _SIZE)
    return all(new[f] == good[f] for f in same) and bool(smallest <= new["rows"] <= largest)


def _row_warnings(expected: Mapping[dt.date, int], found: Mapping[dt.date, int]) -> list[str]:
    wrong = [
        day for day in sorted({*expected, *found}) if expected.get(day, 0) != found.get(day, 0)
    ]
    if not wrong:
        return []
    first = wrong[0]
    line = (
        f"rows differ from the listing records on {len(wrong)} of {len(expected)} sessions, "
        f"first {first}: expected {expected.get(first, 0)}, got {found.get(first, 0)}"
    )
    return [line]


def _finite(column: Any) -> bool:
    """A sum is finite only if every term is; it costs a tenth of finding the extremes."""
    total = pc.sum(column).as_py()
    return total is None or math.isfinite(total)


def _inside(column: Any, low: float, high: float) -> bool:
    # Finding the extremes among nulls takes Arrow five times longer than two comparisons.
    bounds = [pa.scalar(bound).cast(column.type) for bound in (low, high)]
    below, above = pc.less(column, bounds[0]), pc.greater(column, bounds[1])
    return not (pc.any(below).as_py() or pc.any(above).as_py())


def _columns(named: list[str]) -> str:
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    plural = "s" if len(named) > 1 else ""
    return f"{len(named)} column{plural}: {', '.join(named[:_NAMED])}{more}"
