"""Session fields and limit flags along the columns."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.market.panel.axis import Axis, Source
from pipeline.market.panel.intraday_bars import COLUMNS, SESSION_DAYS_BEFORE, day_parts, limit_flags
from tests.market.hand import calendar, date_of, weekdays

CODES = ("10010", "10020")
FLAGS = {"UL", "LL"}
SCHEMA = pa.schema(
    [("Date", pa.date32()), ("Code", pa.string())]
    + [(name, pa.string() if name in FLAGS else pa.float64()) for name in COLUMNS[2:]]
)


def bar(column: int, code: str = CODES[0], **fields: object) -> dict[str, object]:
    """A day that traded in both sessions; its fields are told apart by their last digits."""
    numbers = {name: 100.0 + i for i, name in enumerate(COLUMNS) if name not in FLAGS}
    row = {**numbers, "UL": "0", "LL": "0", **fields}
    return {**row, "Date": date_of(column), "Code": code}


def source(*bars: dict[str, object]) -> Source:
    return Source(
        pa.Table.from_pylist(list(bars), schema=SCHEMA), endpoint_of("daily_bars").publication
    )


def axis(n_columns: int, n_out: int) -> Axis:
    return Axis(
        codes=np.array(CODES),
        sessions=weekdays(n_columns),
        n_out=n_out,
        calendar=calendar(n_columns),
        adj_factor=np.ones((len(CODES), n_columns)),
    )


def test_every_field_stands_under_its_name():
    """Thirteen fields, none taken for another."""
    seen = day_parts(source(bar(1)), axis(n_columns=2, n_out=1))
    fields = "MO MH ML MC MVa AO AH AL AC AVa H L Va".split()
    assert [name.lower() for name in fields] == list(vars(seen))
    for field in fields:
        values = getattr(seen, field.lower())
        assert values.shape == (2, 2)
        assert values[0, 1] == 100.0 + COLUMNS.index(field)
        assert np.isnan(values).sum() == 3


def test_the_wanted_columns_and_nineteen_before_them_are_kept():
    """As many as there are when the panel is shorter."""
    bars = source(*(bar(column, MO=float(column)) for column in range(40)))
    seen = day_parts(bars, axis(n_columns=40, n_out=5))
    assert seen.width == 5 + SESSION_DAYS_BEFORE
    assert seen.mo[0].tolist() == [*range(16, 40)]
    assert day_parts(bars, axis(n_columns=10, n_out=5)).width == 10


def test_flags_reach_59_columns_further_than_the_wanted_ones():
    """Sixty columns of a search that ends on the first of them."""
    bars = source(*(bar(column, UL="1") for column in range(0, 80, 2)))
    seen = limit_flags(bars, axis(n_columns=80, n_out=5)).up[0]
    assert seen.tolist() == [column % 2 == 0 for column in range(16, 80)]


def test_a_session_without_a_trade_is_null_and_so_is_a_day():
    """The vendor blanks the session's block; a day without volume counts as none."""
    quiet = dict.fromkeys(("MO", "MH", "ML", "MC", "MVa"))
    seen = day_parts(
        source(bar(0, **quiet), bar(1, C=None), bar(2, Vo=0.0, UL="1")), axis(n_columns=3, n_out=3)
    )
    assert np.isnan(seen.mc[0]).all()
    assert np.isfinite(seen.ac[0]).tolist() == [True, False, False]
    assert np.isfinite(seen.va[0]).tolist() == [True, False, False]


def test_codes_and_dates_off_the_axis_are_left_out():
    """Earlier days, later days, Sundays, codes nobody asked for."""
    sunday = {**bar(0), "Date": date_of(5) - dt.timedelta(days=1)}
    bars = source(bar(0), bar(9), sunday, bar(6, code="10000"), bar(6, code="99990"))
    late = Axis(np.array(CODES), weekdays(8)[3:], 5, calendar(8), np.ones((2, 5)))
    assert np.isnan(day_parts(bars, late).h).all()
    assert not limit_flags(source(bar(6, code="10000", UL="1")), late).up.any()


@pytest.mark.parametrize(("ul", "ll"), [("1", "0"), ("0", "1"), ("1", "1"), ("0", "0"), (None, "")])
def test_flags_are_set_by_the_text_one(ul, ll):
    """A null or blank flag is not set."""
    seen = limit_flags(source(bar(1, code=CODES[1], UL=ul, LL=ll)), axis(n_columns=2, n_out=1))
    assert seen.up.tolist() == [[False, False], [False, ul == "1"]]
    assert seen.down.tolist() == [[False, False], [False, ll == "1"]]


def test_a_close_at_the_high_is_told_from_one_below_it():
    """Raw prices of one day, compared exactly; nothing is closed on a day without a trade."""
    bars = (
        bar(0, H=110.0, L=90.0, C=110.0),
        bar(1, H=110.0, L=90.0, C=90.0),
        bar(2, H=110.0, L=90.0, C=109.9),
        bar(3, H=110.0, L=110.0, C=110.0),
        bar(4, H=110.0, L=110.0, C=110.0, Vo=0.0),
    )
    seen = limit_flags(source(*bars), axis(n_columns=6, n_out=1))
    assert np.flatnonzero(seen.closed_high[0]).tolist() == [0, 3]
    assert np.flatnonzero(seen.closed_low[0]).tolist() == [1, 3]


def test_the_order_of_rows_and_the_encoding_of_texts_do_not_matter():
    """Rows backwards, flags and codes dictionary-encoded."""
    rows = [bar(column, code, UL=str(column % 2)) for column in range(5) for code in CODES]
    plain, turned = source(*rows), source(*reversed(rows))
    table = turned.table
    for name in ("Code", "UL", "LL"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].dictionary_encode())
    turned = Source(table, turned.publication)
    for build in (day_parts, limit_flags):
        one, other = (build(bars, axis(n_columns=5, n_out=2)) for bars in (plain, turned))
        for name, values in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), values)


def test_a_source_without_rows_gives_nulls():
    """As an unavailable source arrives."""
    assert np.isnan(day_parts(source(), axis(n_columns=30, n_out=5)).mo).all()
    assert not limit_flags(source(), axis(n_columns=30, n_out=5)).up.any()
