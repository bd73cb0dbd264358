"""The audit finds what knows the future, says where, and finds nothing in the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.features.engine import catalogue, look_ahead_audit
from pipeline.features.engine.chunk_features import Chunk
from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.look_ahead_audit import ROW, Audit, Finding, Inputs
from pipeline.features.fundamental import fundamental
from pipeline.features.price import candle
from pipeline.features.volume import crowding
from pipeline.market.panel.axis import Source
from tests.markets import CALENDAR, OPTIONS_FROM, SPEC, Tables, simulated, with_accidents

FIRST, LAST = np.datetime64("2020-10-01"), np.datetime64("2020-12-30")
CUT = np.datetime64("2020-11-13")


@pytest.fixture(scope="module")
def tables() -> Tables:
    return with_accidents(simulated(SPEC, OPTIONS_FROM), FIRST)


@pytest.fixture(scope="module")
def inputs(tables: Tables) -> Inputs:
    sources = {name: tables.source(name) for name in tables.sources}
    calendar = Source(tables.calendar, endpoint_of(CALENDAR).publication)
    return Inputs(sources, calendar, threads=2)


@pytest.fixture(scope="module")
def whole(inputs: Inputs) -> Chunk:
    return Audit(inputs, FIRST, LAST).whole()


def test_the_catalogue_knows_nothing_it_could_not(inputs: Inputs, whole: Chunk):
    """All 3,538 columns: cut off at random days, monthly, yearly, day by day, in another order."""
    check = Audit(inputs, FIRST, LAST)
    draw = np.random.default_rng(4)
    days = draw.choice(whole.sessions, 3, replace=False)
    assert list(check.truncation(whole, days)) == []
    assert list(check.length(whole, 1)) == []
    assert list(check.append(whole, days)) == []
    assert list(check.order(whole, draw.permutation)) == []


def test_a_yearly_chunk_holds_the_rows_of_its_months(inputs: Inputs):
    """A year in one chunk, and in twelve."""
    year = Audit(inputs, np.datetime64("2020-01-06"), LAST)
    assert list(year.length(year.whole(), 1)) == []


def next_column(values: FloatArray) -> FloatArray:
    return np.concatenate([values[:, 1:], values[:, -1:]], axis=1)


def minus_the_mean_of_all_days(values: FloatArray) -> FloatArray:
    return values - np.nanmean(values)


def sum_since_the_start(values: FloatArray) -> FloatArray:
    return np.cumsum(np.nan_to_num(values), axis=1)


@pytest.fixture
def leaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, Any], None]:
    """Put a fault into one column of a family."""

    def plant(family: Any, name: str, fault: Callable[[FloatArray], FloatArray]) -> None:
        honest = family.compute

        def compute(*arguments: Any) -> dict[str, FloatArray]:
            values = dict(honest(*arguments))
            return {**values, name: fault(values[name])}

        monkeypatch.setattr(family, "compute", compute)

    return plant


@pytest.mark.parametrize(
    ("family", "name", "fault"),
    [
        (candle, "kbar_len", next_column),
        (fundamental, "fs_equity_ratio", minus_the_mean_of_all_days),
        (crowding, "crowding_score", next_column),
    ],
    ids=["bars", "statements", "derived"],
)
def test_a_column_that_looks_ahead_is_caught(
    inputs: Inputs, leaking: Any, family: Any, name: str, fault: Any
):
    """By truncation and day by day: named with its family, how often, and an example."""
    leaking(family, name, fault)
    check = Audit(inputs, FIRST, LAST)
    whole = check.whole()
    for found in (check.truncation(whole, [CUT]), check.append(whole, [CUT])):
        by_column = {finding.column: finding for finding in found}
        finding = by_column[name]
        assert finding.family == name_of_family(name)
        assert finding.cells >= 1
        assert finding.date <= str(CUT)
        assert len(finding.code) == 5
        assert finding.expected != finding.seen
        assert f"{finding.family}.{name} differs in {finding.cells} rows" in str(finding)
        assert set(by_column) <= spreading_from(name)


def test_a_sum_from_the_start_of_the_chunk_is_caught(inputs: Inputs, leaking: Any):
    """By chunks of another length."""
    leaking(candle, "kbar_len", sum_since_the_start)
    check = Audit(inputs, FIRST, LAST)
    found = {finding.column for finding in check.length(check.whole(), 1)}
    assert "kbar_len" in found


def test_only_the_columns_asked_for_are_compared(inputs: Inputs, leaking: Any):
    """Two faults, one of them looked for."""
    leaking(candle, "kbar_len", next_column)
    leaking(fundamental, "fs_equity_ratio", next_column)
    check = Audit(inputs, FIRST, LAST, columns=("fs_equity_ratio",))
    assert [f.column for f in check.truncation(check.whole(), [CUT])] == ["fs_equity_ratio"]


def test_rows_that_come_or_go_are_a_finding(inputs: Inputs, whole: Chunk):
    """The first day and code that only one side has."""
    rows = whole.rows(0, 1)
    (finding,) = look_ahead_audit.differences("check", rows, rows.slice(1))
    code = rows["Code"][0].as_py()
    assert finding == Finding(
        "check", ROW, "key", 1, finding.largest, str(FIRST), code, "a row", "no row"
    )


def test_minus_zero_is_another_value(whole: Chunk):
    """Bits are compared, not numbers."""
    rows = whole.rows(0, 1)
    assert look_ahead_audit.differences("check", rows, rows) == []
    name = "rsi_14"
    column = rows[name].to_numpy(zero_copy_only=False).astype(np.float32)
    changed = column.copy()
    changed[0], column[0] = -0.0, 0.0
    at = rows.column_names.index(name)
    tables = [rows.set_column(at, rows.schema.field(name), [x]) for x in (column, changed)]
    assert [finding.column for finding in look_ahead_audit.differences("check", *tables)] == [name]


def name_of_family(column: str) -> str:
    (family,) = (f.family for f in catalogue.features() if f.name == column)
    return family


def spreading_from(name: str) -> set[str]:
    """The column, its transforms, and all columns of families made from other columns."""
    derived = {
        column
        for family in catalogue.FAMILIES
        if family.SCOPE == "derived"
        for column in catalogue.columns_by_family()[family.FEATURES[0].family]
    }
    own = {
        column
        for columns in catalogue.columns_by_family().values()
        for column in columns
        if column.startswith(name)
    }
    return own | derived


def test_the_steps_are_told(inputs: Inputs):
    """Long work says what it is doing."""
    told: list[str] = []
    check = Audit(inputs, LAST, LAST, progress=told.append)
    assert list(check.append(check.whole(), [LAST])) == []
    assert told == [
        f"building {LAST} to {LAST} from all data",
        f"building {LAST} alone from what was public then",
    ]
