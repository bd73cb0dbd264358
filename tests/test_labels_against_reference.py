"""All labels, from raw tables to the label table, against the brute-force reference."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from pipeline.features.labels.label_values import LABELS
from tests.label_tables import label_table, members, outcomes
from tests.markets import OPTIONS_FROM, SPEC, Tables, accident_codes, simulated, with_accidents
from tests.reference.labels import LABELS as REFERENCE
from tests.reference.market import ReferenceMarket

FIRST, LAST = "2020-09-15", "2020-12-30"
PER_KIND = 36


@cache
def market() -> Tables:
    """The market, whose data end on 2021-01-29: 19 sessions after the last row."""
    return with_accidents(simulated(SPEC, OPTIONS_FROM), "2020-10-01")


def reference() -> ReferenceMarket:
    frames = {name: table.to_pandas() for name, table in market().sources.items()}
    bars, listed = frames.pop("daily_bars"), frames.pop("listed")
    return ReferenceMarket(bars, listed, market().calendar.to_pandas(), frames)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rows = members(market(), FIRST, LAST)
    return label_table(outcomes(market(), rows, ahead=31))


def places(table: pa.Table) -> dict[str, np.ndarray]:
    """Kind of event -> some of the rows whose labels it may touch."""
    rng = np.random.default_rng(11)
    dates = np.array(table["Date"].to_pylist(), dtype="datetime64[D]")
    codes = np.array(table["Code"].to_pylist())
    final = {code: dates[codes == code].max() for code in np.unique(codes)}
    gone = [(code, day) for code, day in final.items() if day < dates.max()]
    bars = market().bars.to_pandas()
    splits = bars[bars["AdjFactor"].notna() & (bars["AdjFactor"] != 1)]
    failure, end = np.datetime64("2020-10-01"), np.datetime64("2020-12-15")

    def before(events: list[tuple[str, np.datetime64]]) -> np.ndarray:
        soon = [(codes == code) & (dates <= day) & (dates > day - 35) for code, day in events]
        return np.logical_or.reduce(soon)

    found = {
        "any": np.ones(table.num_rows, dtype=bool),
        "the failure": (dates <= failure) & (dates > failure - 16),
        "the end": dates >= end,
        "delisting": before(gone),
        "split": before([(row.Code, np.datetime64(row.Date)) for row in splits.itertuples()]),
        **{
            code: codes == code
            for code in accident_codes(simulated(SPEC, OPTIONS_FROM), "2020-10-01")
        },
    }
    return {kind: rng.permutation(np.flatnonzero(at))[:PER_KIND] for kind, at in found.items()}


def test_every_label_agrees_with_the_reference(table: pa.Table) -> None:
    """Nulls exactly, values to a few units of float32, on days around everything that happens."""
    known, wrong, nulls = reference(), [], 0
    columns = {label.name: table[label.name].to_pylist() for label in LABELS}
    rows = {int(row): kind for kind, rows in places(table).items() for row in rows}
    assert {"the failure", "the end", "delisting", "split"} <= set(rows.values())
    for row, kind in rows.items():
        date, code = table["Date"][row].as_py(), table["Code"][row].as_py()
        for name, formula in REFERENCE.items():
            expected, seen = formula(known, code, date), columns[name][row]
            nulls += expected is None
            if not agrees(seen, expected):
                wrong.append((name, str(date), code, kind, seen, expected))
    assert nulls > 100
    assert not wrong, f"{len(wrong)} values, first {wrong[:10]}"


def agrees(seen: float | None, expected: float | None) -> bool:
    if seen is None or expected is None:
        return seen is expected
    return abs(seen - expected) <= 1e-6 * max(abs(expected), 1e-3)
