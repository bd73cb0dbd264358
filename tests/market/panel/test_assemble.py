"""From raw tables to lines: listings, price bases, the universe."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.market.closed_lists import UnknownMember
from pipeline.market.panel.assemble import EmptyUniverse
from pipeline.market.panel.price_panel import Panel
from tests.market.derivatives.test_option_quotes import rows as option_rows
from tests.market.derivatives.test_option_quotes import table as option_table
from tests.market.hand import (
    NAN,
    Stock,
    answering,
    assembled,
    calendar,
    date_of,
    market,
    panel,
    tables,
    weekdays,
)

FLAT = [100.0] * 60


def ranges(panel: Panel, code: str) -> list[tuple[int, int]]:
    """Wanted columns [first, stop) the lines of a code answer for, in order."""
    own = np.flatnonzero(panel.codes[panel.line_code] == code)
    return sorted((int(panel.line_first[i]), int(panel.line_stop[i])) for i in own)


# -- one line ------------------------------------------------------------------------------------


def test_a_bar_stands_as_delivered_in_its_column():
    """Without a split a price passes through bit for bit."""
    closes = [100.1, 100.2, 99.9, 1234.5]
    seen = panel(Stock("13010", closes), n_out=2)
    assert seen.codes.tolist() == ["13010"]
    assert (seen.n_lines, seen.n_columns, seen.n_out) == (1, 4, 2)
    assert ranges(seen, "13010") == [(0, 2)]
    np.testing.assert_array_equal(seen.c[0], closes)
    np.testing.assert_array_equal(seen.o[0], closes)
    np.testing.assert_array_equal(seen.h[0], np.array(closes) * 1.01)
    np.testing.assert_array_equal(seen.l[0], np.array(closes) * 0.99)
    np.testing.assert_array_equal(seen.v[0], np.array(closes) * 100)
    np.testing.assert_array_equal(seen.va[0], 100.0 * np.array(closes) * np.array(closes))
    assert seen.listed.all()
    assert (seen.adj_factor == 1.0).all()


def test_a_halted_day_keeps_its_record_and_has_no_bar():
    """No trade: prices null, listed, turnover 0."""
    seen = panel(Stock("13010", [100.0, NAN, 102.0]), n_out=1)
    assert np.isnan(seen.c[0]).tolist() == [False, True, False]
    assert seen.listed[0].all()
    assert seen.tv[0, 1] == 0.0


@pytest.mark.parametrize(("name", "value"), [("C", None), ("Vo", 0.0), ("Vo", None)])
def test_a_bar_without_close_or_volume_is_no_trade(name: str, value: float | None):
    """Then no field of the bar counts."""
    bars, listed = tables(Stock("13010", [100.0, 101.0]))
    column = bars.column_names.index(name)
    changed = pa.array([value, 101.0], pa.float64())
    bars = bars.set_column(column, name, changed)
    seen = assembled(bars, listed, calendar(2), weekdays(2), 1).panel
    for values in (seen.o, seen.h, seen.l, seen.c, seen.v, seen.va):
        assert np.isnan(values[0]).tolist() == [True, False]


def test_a_bar_without_a_master_record_does_not_count():
    """A master day missing inside a line: no trade, turnover null, the close carried."""
    seen = panel(Stock("13010", [100.0, 101.0, 102.0], unlisted=[1]), n_out=1)
    assert np.isnan(seen.c[0]).tolist() == [False, True, False]
    assert np.isnan(seen.tv[0, 1])
    assert seen.p[0, 1] == 100.0


def test_rows_of_other_days_do_not_count():
    """A bar dated on a weekend, before or after the columns goes nowhere."""
    bars, listed = tables(Stock("13010", [100.0] * 12))
    inner = np.delete(weekdays(12)[2:9], 3)
    seen = assembled(bars, listed, calendar(12), inner, 2).panel
    assert seen.n_columns == 6
    assert not np.isnan(seen.c).any()


# -- splits --------------------------------------------------------------------------------------


def test_a_split_inside_the_wanted_columns_makes_two_lines():
    """Before the ex-date nothing of the split shows; from it on the past is in its basis."""
    stock = Stock("13010", [100.0, 102.0, 52.0, 53.0], factors={2: 0.5})
    seen = panel(stock, n_out=3)
    assert ranges(seen, "13010") == [(0, 1), (1, 3)]
    before, after = answering(seen, "13010", 1), answering(seen, "13010", 3)
    assert after == 0
    assert seen.c[before, :2].tolist() == [100.0, 102.0]
    assert seen.c[after].tolist() == [50.0, 51.0, 52.0, 53.0]
    assert seen.v[after].tolist() == [20000.0, 20400.0, 5200.0, 5300.0]
    np.testing.assert_array_equal(seen.va[after], seen.va[before])


@pytest.mark.parametrize("ex_date", [0, 1, 2])
def test_a_split_up_to_the_first_wanted_column_needs_one_line(ex_date: int):
    """Every wanted row is in the same basis."""
    seen = panel(Stock("13010", [100.0, 102.0, 104.0, 106.0], factors={ex_date: 0.5}), n_out=2)
    assert ranges(seen, "13010") == [(0, 2)]
    expected = [100.0, 102.0, 104.0, 106.0]
    for column in range(ex_date):
        expected[column] *= 0.5
    assert seen.c[0].tolist() == expected


def test_splits_on_successive_columns_have_a_line_each():
    """Also one whose ex-date has no trade, and one on the last column."""
    closes = [100.0, 100.0, 50.0, NAN, 75.0, 15.0]
    seen = panel(Stock("13010", closes, factors={2: 0.5, 3: 1.5, 5: 0.2}), n_out=5)
    assert ranges(seen, "13010") == [(0, 1), (1, 2), (2, 4), (4, 5)]
    assert seen.c[answering(seen, "13010", 2), 0] == 50.0
    assert seen.c[answering(seen, "13010", 3), 0] == 75.0
    assert seen.p[answering(seen, "13010", 3), 3] == 75.0
    assert seen.c[answering(seen, "13010", 5), 0] == pytest.approx(15.0, rel=1e-15)


def test_a_null_adjustment_factor_is_one():
    """And no reason for a line."""
    seen = panel(Stock("13010", [100.0] * 4, factors={2: None}), n_out=4)
    assert seen.n_lines == 1
    assert (seen.adj_factor == 1.0).all()


def test_a_split_on_a_missing_master_day_inside_a_line_counts():
    """The factor stands although the day's bar does not."""
    stock = Stock("13010", [100.0, 50.0, 50.0], factors={1: 0.5}, unlisted=[1])
    seen = panel(stock, n_out=1)
    assert np.nan_to_num(seen.c[0]).tolist() == [50.0, 0.0, 50.0]


# -- listings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("absent", "expected"), [(1, [(0, 60)]), (20, [(0, 60)]), (21, [(0, 10), (31, 60)])]
)
def test_an_absence_of_more_than_20_columns_begins_a_new_line(
    absent: int, expected: list[tuple[int, int]]
):
    """20 columns without a master record are a gap of one line, 21 the end of it."""
    stock = Stock("13010", FLAT, unlisted=range(10, 10 + absent))
    seen = panel(stock, n_out=60)
    assert ranges(seen, "13010") == expected
    newest = seen.c[0]
    assert np.isnan(newest[:10]).all() == (absent > 20)


def test_a_returning_code_has_no_past():
    """The new line holds nothing from before the gap, although the past is in the panel."""
    seen = panel(Stock("13010", FLAT, unlisted=range(5, 30)), n_out=10)
    assert seen.n_lines == 1
    assert np.isnan(seen.c[0, :30]).all()
    assert not seen.listed[0, :30].any()
    assert not np.isnan(seen.c[0, 30:]).any()


def test_who_left_long_before_the_wanted_columns_is_left_out():
    """Members of the last 140 columns before the wanted ones are on the axis, for comparisons
    over earlier days; nobody wants a row of those who left before."""
    closes = [100.0] * 200
    gone = Stock("13010", closes, unlisted=range(40, 200))
    seen = market(gone, Stock("13020", closes), n_out=20)
    assert seen.panel.codes.tolist() == ["13020"]
    seen = market(gone, Stock("13020", closes), n_out=21)
    assert seen.panel.codes.tolist() == ["13010", "13020"]
    assert not seen.master.universe[0, -21:].any()


def test_codes_listed_and_delisted_inside_the_wanted_columns_are_members_while_listed():
    """The universe follows the master record of the day."""
    new = Stock("13010", FLAT, unlisted=range(50))
    old = Stock("13020", FLAT, unlisted=range(55, 60))
    seen = market(old, new, n_out=20)
    universe = seen.master.universe[:, -20:]
    assert universe[0].tolist() == [False] * 10 + [True] * 10
    assert universe[1].tolist() == [True] * 15 + [False] * 5


# -- universe ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "record"),
    [
        ("13015", {}),  # preferred share
        ("13010", {"S33": "9999"}),
        ("13010", {"Mkt": "0109"}),
        ("13010", {"Mkt": "0105"}),
        ("13015", {"Mkt": None}),
        ("13010", {"Mkt": "109", "S33": "-"}),
    ],
)
def test_who_is_no_member(code: str, record: dict[str, str | None]):
    """Preferred shares, sector 9999, funds and the PRO market have no line."""
    seen = market(Stock("99990", FLAT), Stock(code, FLAT, record=record), n_out=5)
    assert seen.panel.codes.tolist() == ["99990"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"Mkt": "0115"}, "listed: Mkt '0115' of 13010 on "),
        ({"Mkt": None}, "listed: Mkt '' of 13010 on "),
        ({"S33": "0055"}, "listed: S33 '0055' of 13010 on "),
        ({"S33": None}, "listed: S33 '' of 13010 on "),
    ],
)
def test_a_record_whose_place_cannot_be_determined_is_refused(
    record: dict[str, str | None], told: str
):
    """By source, field, value, code and day, instead of rows that are silently not there."""
    with pytest.raises(UnknownMember, match=told):
        market(Stock("99990", FLAT), Stock("13010", FLAT, record=record), n_out=5)


def test_padding_that_a_spreadsheet_took_away_is_mended():
    """``111`` is Prime and ``50`` is fishery, in the same group as ``0050``."""
    lost = Stock("13010", FLAT, record={"Mkt": "111", "S33": "50"})
    kept = Stock("13020", FLAT, record={"Mkt": "0111", "S33": "0050"})
    seen = market(lost, kept, n_out=5)
    assert seen.master.universe.all(axis=1).tolist() == [True, True]
    assert seen.master.tier[:, -1].tolist() == [1, 1]
    assert seen.master.s33[:, -1].tolist() == [50, 50]


def test_an_unknown_attribute_is_null_and_never_0():
    """The row stays; a size bucket of ``-`` is none, which is 0."""
    odd = Stock("13010", FLAT, record={"ScaleCat": "TOPIX Nano", "Mrgn": "9", "S17": "18"})
    plain = Stock("13020", FLAT, record={"ScaleCat": "-"})
    seen = market(odd, plain, n_out=5)
    np.testing.assert_array_equal(seen.master.scale[:, -1], [NAN, 0.0])
    assert np.isnan([seen.master.margin[0, -1], seen.master.s17[0, -1]]).all()
    assert seen.master.universe[0, -5:].all()


def test_a_code_from_the_pro_market_becomes_a_member_with_its_past():
    """It has a line with the bars from before, and is a member from its first day on."""
    stock = Stock("13010", FLAT, record={"Mkt": "0105"}, later={57: {"Mkt": "0113"}})
    seen = market(stock, n_out=5)
    assert seen.master.universe[0, -5:].tolist() == [False, False, True, True, True]
    assert not np.isnan(seen.panel.c[0]).any()
    assert seen.panel.listed[0].all()
    np.testing.assert_array_equal(seen.master.tier[0, -4:], [NAN, 3.0, 3.0, 3.0])


def test_master_fields_are_those_of_the_day():
    """Codes as numbers; NaN where no record is dated that day."""
    stock = Stock(
        "130A0",
        [100.0] * 4,
        unlisted=[2],
        record={"S17": "99", "ScaleCat": "TOPIX Core30", "Mrgn": "1"},
        later={1: {"S33": "9050", "S17": "10", "ScaleCat": "-"}, 3: {"Mrgn": "3"}},
    )
    master = market(stock, n_out=4).master
    np.testing.assert_array_equal(master.tier[0], [1.0, 1.0, NAN, 1.0])
    np.testing.assert_array_equal(master.s17[0], [NAN, 10.0, NAN, 10.0])
    np.testing.assert_array_equal(master.s33[0], [50.0, 9050.0, NAN, 9050.0])
    np.testing.assert_array_equal(master.scale[0], [5.0, 0.0, NAN, 0.0])
    np.testing.assert_array_equal(master.margin[0], [1.0, 1.0, NAN, 3.0])
    assert master.listed[0].tolist() == [True, True, False, True]
    assert master.universe[0].tolist() == [True, True, False, True]


def test_nobody_listed_is_an_error_that_names_the_days():
    """No member on any wanted column."""
    bars, listed = tables(Stock("13015", FLAT))
    with pytest.raises(EmptyUniverse, match=f"between {date_of(50)} and {date_of(59)}"):
        assembled(bars, listed, calendar(60), weekdays(60), 10)


def test_empty_tables_are_nobody_listed():
    """Tables with columns and no rows."""
    bars, listed = tables()
    with pytest.raises(EmptyUniverse):
        assembled(bars, listed, calendar(5), weekdays(5), 1)


# -- tables --------------------------------------------------------------------------------------


def test_dictionary_encoded_text_is_text():
    """A snapshot may store codes and fields as dictionaries."""
    bars, listed = tables(Stock("13010", [100.0, 50.0], factors={1: 0.5}), Stock("13020", FLAT[:2]))
    encoded = [
        pa.table(
            {
                name: column.dictionary_encode() if pa.types.is_string(column.type) else column
                for name, column in zip(table.column_names, table.columns, strict=True)
            }
        )
        for table in (bars, listed)
    ]
    plain = assembled(bars, listed, calendar(2), weekdays(2), 2)
    seen = assembled(*encoded, calendar(2), weekdays(2), 2)
    for field in dataclasses.fields(Panel):
        np.testing.assert_array_equal(
            getattr(seen.panel, field.name), getattr(plain.panel, field.name), err_msg=field.name
        )


def test_codes_ascend_whatever_the_order_of_rows():
    """Digits before letters, as in the rows of the dataset."""
    stocks = [Stock(code, FLAT[:3]) for code in ("99990", "130A0", "13010", "130B0")]
    seen = panel(*stocks, n_out=1)
    assert seen.codes.tolist() == ["13010", "130A0", "130B0", "99990"]


def test_options_are_arranged_when_they_are_there():
    """No quote when the source is unavailable, quotes along the panel's columns otherwise."""
    bars, listed = tables(Stock("13010", FLAT[:5]))
    assert market(Stock("13010", FLAT[:5]), n_out=1).options.strike.size == 0
    rows = option_table(option_rows())
    seen = assembled(bars, listed, calendar(5), weekdays(5), 1, index_option=rows)
    assert seen.options.offsets.size == 6
    assert seen.options.strike.size > 0


# -- lines against the definition ----------------------------------------------------------------

COLUMNS = 50


@st.composite
def stocks(draw: st.DrawFn) -> Stock:
    """A code with splits, days without a trade and one or two absences around 20 columns."""
    factor = st.sampled_from([0.5, 0.1, 1 / 3, 3.0, 10.0, 1.0])
    day = st.integers(0, COLUMNS - 1)
    unlisted: set[int] = set()
    for _ in range(draw(st.integers(0, 2))):
        start = draw(day)
        unlisted |= set(range(start, start + draw(st.sampled_from([1, 3, 19, 20, 21, 25]))))
    closes = 100.0 + np.arange(COLUMNS)
    closes[sorted(draw(st.sets(day, max_size=5)))] = NAN
    return Stock("13010", closes.tolist(), unlisted, draw(st.dictionaries(day, factor, max_size=4)))


def seen_by_an_observer(stock: Stock, here: int) -> list[float]:
    """Closes up to column ``here`` in its basis, one by one from the raw numbers."""
    first, column = here, here
    while column > 0 and first - column <= 20:
        column -= 1
        if column not in stock.unlisted:
            first = column
    closes = []
    for u in range(here + 1):
        later = [stock.factors.get(w, 1.0) or 1.0 for w in range(u + 1, here + 1)]
        counts = u >= first and u not in stock.unlisted
        closes.append(stock.closes[u] * math.prod(later) if counts else NAN)
    return closes


@settings(deadline=None, max_examples=60)
@given(stocks(), st.integers(1, COLUMNS))
def test_every_row_sees_what_an_observer_of_its_day_saw(stock: Stock, n_out: int):
    """For each listed wanted column exactly one line answers, with the past in its basis."""
    present = [u for u in range(COLUMNS - n_out, COLUMNS) if u not in stock.unlisted]
    if not present:
        return
    seen = panel(stock, n_out=n_out)
    for here in present:
        line = answering(seen, "13010", here)
        expected = seen_by_an_observer(stock, here)
        np.testing.assert_allclose(seen.c[line, : here + 1], expected, rtol=1e-14)
        last = seen.c[line, here]
        assert np.isnan(last) or last == stock.closes[here]


@settings(deadline=None, max_examples=30)
@given(stocks(), st.integers(1, 20), st.integers(1, 15))
def test_a_row_is_the_same_in_a_chunk_that_ends_later(stock: Stock, n_out: int, later: int):
    """Bit for bit, across the splits and absences of the later columns."""
    end = COLUMNS - later
    short = replace(stock, closes=stock.closes[:end])
    present = [u for u in range(end - n_out, end) if u not in stock.unlisted]
    if not present:
        return
    seen, whole = panel(short, n_out=n_out), panel(stock, n_out=n_out + later)
    for here in present:
        a, b = answering(seen, "13010", here), answering(whole, "13010", here)
        for name in ("o", "h", "l", "c", "v", "va"):
            np.testing.assert_array_equal(
                getattr(seen, name)[a, : here + 1], getattr(whole, name)[b, : here + 1]
            )


@settings(deadline=None, max_examples=30)
@given(stocks(), st.integers(1, 20), st.integers(1, 15))
def test_a_row_is_the_same_in_a_panel_that_starts_later(stock: Stock, n_out: int, later: int):
    """Bit for bit, whatever splits and absences lie before the start."""
    present = [u for u in range(COLUMNS - n_out, COLUMNS) if u not in stock.unlisted]
    if not present:
        return
    bars, listed = tables(stock)
    columns = weekdays(COLUMNS)[later:]
    seen = assembled(bars, listed, calendar(COLUMNS), columns, n_out).panel
    whole = panel(stock, n_out=n_out)
    for here in present:
        a, b = answering(seen, "13010", here - later), answering(whole, "13010", here)
        for name in ("o", "h", "l", "c", "v", "va"):
            np.testing.assert_array_equal(
                getattr(seen, name)[a, : here + 1 - later],
                getattr(whole, name)[b, later : here + 1],
            )
