"""The guidance book: hand-made forecasts, and random ones against a plain replay."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.market.books.forecasts import (
    COLUMNS,
    CURRENT,
    DEPTH,
    Forecast,
    Forecasts,
    Item,
    forecasts,
)
from pipeline.market.panel import share_basis
from pipeline.market.panel.axis import Axis, Source
from tests.market.filings import Row, axis_of, filing, month_end
from tests.market.hand import FIRST_DAY
from tests.market.records import source

NAN = float("nan")
REVISION = "EarnForecastRevision"


def book_of(*rows: Row, axis: Axis | None = None) -> Forecasts:
    """The guidance book of the rows, by default for one code over 300 columns."""
    return forecasts(source("fin_summary", *rows), axis or axis_of())


def month(year: str) -> float:
    return float(np.datetime64(year, "M").astype(np.int64))


def years(book: Forecasts, year: str, n_codes: int = 1) -> np.ndarray:
    return np.full((n_codes, book.columns.size), month(year))


def at(forecast: Forecast, book: Forecasts, *columns: int) -> list[float]:
    """Values of the first code on some columns."""
    return forecast.value[0, np.searchsorted(book.columns, columns)].tolist()


def current(book: Forecasts, item: Item, year: str, *columns: int) -> list[float]:
    return at(book.current(item, years(book, year)), book, *columns)


def change(book: Forecasts, item: Item, year: str, *columns: int) -> list[float]:
    return at(book.last_change(item, years(book, year)), book, *columns)


def same(seen: Sequence[float], expected: Sequence[float]) -> None:
    np.testing.assert_array_equal(seen, expected)


def test_forecasts_of_both_years_enter_under_their_target():
    """F-fields speak about CurFYEn, NxF-fields about NxtFYEn."""
    book = book_of(
        filing(5, "2023-03", "FY", NxFOP=110.0, NxtFYEn=month_end(np.datetime64("2024-03"))),
        filing(60, "2024-03", "1Q", FOP=120.0),
    )
    same(current(book, "OP", "2024-03", 4, 5, 59, 60), [NAN, 110.0, 110.0, 120.0])
    same(current(book, "OP", "2023-03", 5, 60), [NAN, NAN])


def test_without_an_end_of_the_next_year_it_is_a_year_after_this_one():
    """A next year that ends in another month is told by NxtFYEn alone."""
    book = book_of(
        filing(5, "2023-03", "FY", NxFNp=7.0),
        filing(6, "2023-03", "FY", NxFNp=8.0, NxtFYEn=month_end(np.datetime64("2023-12"))),
    )
    same(current(book, "NP", "2024-03", 5, 6), [7.0, 7.0])
    same(current(book, "NP", "2023-12", 5, 6), [NAN, 8.0])


def test_the_vendor_spells_the_profit_of_next_year_its_own_way():
    """FNP, but NxFNp; FNCNP and NxFNCNP."""
    assert {"FNP", "NxFNp", "FNCNP", "NxFNCNP"} <= set(COLUMNS)
    book = book_of(
        filing(1, "2023-03", "3Q", FNP=1.0),
        filing(2, "2023-03", "FY", NxFNp=2.0),
        filing(3, "2025-03", "3Q", FNCNP=3.0, kind="NonConsolidated_JP"),
        filing(4, "2025-03", "FY", NxFNCNP=4.0, kind="NonConsolidated_JP"),
    )
    for year, value in (("2023-03", 1.0), ("2024-03", 2.0), ("2025-03", 3.0), ("2026-03", 4.0)):
        same(current(book, "NP", year, 10), [value])


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"DocType": REVISION}, True),
        ({"DocType": "DividendForecastRevision", "CurPerType": None}, True),
        ({"DocType": "OtherPeriodFinancialStatements_Consolidated_JP", "CurPerType": "4Q"}, True),
        ({"DocType": "OtherPeriodFinancialStatements_Consolidated_JP", "CurPerType": "5Q"}, True),
        ({"DocType": "SomethingElse"}, False),
        ({"DocType": None}, False),
        ({"CurFYEn": None}, False),
        ({"Code": "99990"}, False),
    ],
)
def test_statements_of_every_type_and_revisions_carry_forecasts(fields: Row, counts: bool):
    """What names no fiscal year, or is another document or another company's, does not count."""
    book = book_of(filing(5, "2023-03", "3Q", FSales=50.0, **fields))
    same(current(book, "Sales", "2023-03", 10), [50.0 if counts else NAN])


def test_consolidated_forecasts_hide_those_of_the_company_alone():
    """These stand in only while the year has no consolidated one, and the two are not compared."""
    book = book_of(
        filing(1, "2023-03", "1Q", FNCOP=50.0),
        filing(2, "2023-03", "1Q", FNCOP=55.0),
        filing(3, "2023-03", "1Q", FOP=80.0),
        filing(4, "2023-03", "1Q", FNCOP=60.0),
        filing(5, "2023-03", "1Q", FOP=70.0),
    )
    same(current(book, "OP", "2023-03", 1, 2, 3, 4, 5), [50.0, 55.0, 80.0, 80.0, 70.0])
    same(change(book, "OP", "2023-03", 1, 2, 3, 4, 5), [0.0, 5.0, 0.0, 0.0, -10.0])
    revisions = book.revisions("OP", 250)
    same(revisions.net[0, 1:6], [0.0, 1.0, 0.0, 0.0, -1.0])


def test_a_correction_without_forecasts_leaves_them_alone():
    """The latest non-null value counts, also when a correction of an old quarter brings it."""
    book = book_of(
        filing(1, "2023-03", "2Q", FOP=80.0, FSales=900.0),
        filing(9, "2023-03", "1Q", FSales=910.0),
    )
    same(current(book, "OP", "2023-03", 9), [80.0])
    same(current(book, "Sales", "2023-03", 8, 9), [900.0, 910.0])


def test_rows_of_one_day_count_in_the_order_of_time_then_number():
    """A missing time comes first; each revision of the day is a change."""
    rows = [
        filing(5, "2023-03", "FY", DocType=REVISION, time="15:00:00", number="2", FOP=120.0),
        filing(5, "2023-03", "FY", DocType=REVISION, time="15:00:00", number="10", FOP=110.0),
        filing(5, "2023-03", "FY", DocType=REVISION, time="16:00:00", number="1", FOP=90.0),
        filing(5, "2023-03", "FY", DocType=REVISION, DiscTime=None, number="9", FOP=105.0),
        filing(1, "2023-03", "1Q", FOP=100.0),
    ]
    for ordered in (rows, rows[::-1]):
        book = book_of(*ordered)
        same(current(book, "OP", "2023-03", 4, 5), [100.0, 90.0])
        same(change(book, "OP", "2023-03", 4, 5), [0.0, -30.0])
        same(book.revisions("OP", 250).net[0, [4, 5]], [0.0, 2.0])  # +5, +5, +10, -30


def test_only_a_change_against_an_earlier_forecast_of_the_same_year_is_a_revision():
    """The first forecast of the next year is none, nor is a repeated amount."""
    book = book_of(
        filing(1, "2023-03", "3Q", FOP=100.0),
        filing(60, "2023-03", "FY", NxFOP=150.0),
        filing(120, "2024-03", "1Q", FOP=150.0),
        filing(180, "2024-03", "2Q", FOP=140.0),
        filing(240, "2024-03", "3Q", FOP=140.0),
    )
    same(change(book, "OP", "2024-03", 59, 60, 120, 180, 240), [NAN, 0.0, 0.0, -10.0, -10.0])
    last = book.last_change("OP", years(book, "2024-03"))
    assert last.column[0, 240] == 180
    revisions = book.revisions("OP", 250)
    same(revisions.net[0, [179, 180, 299]], [0.0, -1.0, -1.0])
    same(revisions.since_change[0, [179, 180, 299]], [NAN, 0.0, 119.0])
    same(revisions.since_forecast[0, [0, 59, 299]], [NAN, 58.0, 59.0])


def test_revisions_of_a_window_are_counted_over_all_years():
    """Also of a year whose results are out by then; the first column out of the window drops."""
    axis = axis_of(columns=600)
    book = book_of(
        filing(1, "2023-03", "3Q", FOP=100.0),
        filing(10, "2023-03", "FY", DocType=REVISION, FOP=90.0),
        filing(20, "2023-03", "FY", NxFOP=120.0),
        filing(20, "2023-03", "FY", DocType=REVISION, time="16:00:00", FOP=95.0),
        filing(200, "2024-03", "2Q", FOP=130.0),
        axis=axis,
    )
    revisions = book.revisions("OP", 250)
    columns = [9, 10, 20, 200, 259, 260, 269, 270, 449, 450]
    same(revisions.net[0, columns], [0, -1, 0, 1, 1, 2, 2, 1, 1, 0])
    same(revisions.since_change[0, columns], [NAN, 0, 0, 0, 59, 60, 69, 70, 249, NAN])


def test_a_forecast_is_current_for_300_columns():
    """From the row that supplied it, whatever else is disclosed; a repetition renews it."""
    axis = axis_of(columns=700)
    rows = (
        filing(10, "2023-03", "1Q", FOP=100.0, FSales=900.0),
        filing(200, "2023-03", "3Q", FSales=900.0),
    )
    book = book_of(*rows, axis=axis)
    same(current(book, "OP", "2023-03", 310, 311), [100.0, NAN])
    same(change(book, "OP", "2023-03", 310, 311), [0.0, NAN])
    same(current(book, "Sales", "2023-03", 311, 500, 501), [900.0, 900.0, NAN])
    assert CURRENT == 300


def test_forecasts_expire_after_their_depth():
    """A row older than 1,100 columns is no earlier forecast any more."""
    axis = axis_of(columns=40, first=200, n_out=40)
    book = book_of(
        filing(-890, "2023-03", "1Q", FOP=100.0),  # 1,090 columns before the panel's first
        filing(190, "2023-03", "FY", FOP=130.0),
        axis=axis,
    )
    same(change(book, "OP", "2023-03", 0, 10, 11), [30.0, 30.0, 0.0])
    same(book.revisions("OP", 250).net[0, [0, 10, 11]], [1.0, 1.0, 0.0])
    before = book.before("OP", years(book, "2023-03"), np.full((1, 40), -10))
    same(at(before, book, 0, 10, 11), [100.0, 100.0, NAN])
    assert DEPTH == 1100


def test_the_last_forecast_before_a_column():
    """Strictly before it: what came out with the results is not a forecast of them."""
    book = book_of(
        filing(5, "2023-03", "3Q", FOP=100.0),
        filing(50, "2023-03", "FY", FOP=120.0, NxFOP=150.0),
    )
    same(at(book.before("OP", years(book, "2023-03"), np.full((1, 300), 50)), book, 60), [100.0])
    same(at(book.before("OP", years(book, "2023-03"), np.full((1, 300), 51)), book, 60), [120.0])
    same(at(book.before("OP", years(book, "2023-03"), np.full((1, 300), 5)), book, 60), [NAN])


def test_a_split_is_no_revision_of_a_dividend_forecast():
    """Amounts are compared in the basis of the later one; on one column there is no split."""
    axis = axis_of(factors={("10010", 20): 0.5, ("10010", 30): 1 / 3})
    book = book_of(
        filing(10, "2023-03", "1Q", FDivAnn=60.0),
        filing(20, "2023-03", "2Q", FDivAnn=30.0),
        filing(40, "2023-03", "3Q", FDivAnn=10.0),
        filing(50, "2023-03", "FY", DocType="DividendForecastRevision", FDivAnn=12.0),
        axis=axis,
    )
    same(current(book, "DivAnn", "2023-03", 19, 20, 35, 40), [60.0, 30.0, 30.0, 10.0])
    same(change(book, "DivAnn", "2023-03", 20, 40, 50), [0.0, 0.0, 2.0])


def test_an_amount_per_share_counts_while_it_can_be_restated():
    """560 columns, wherever the panel begins."""
    rows = (
        filing(30, "2024-03", "1Q", FDivAnn=10.0),
        filing(580, "2024-03", "3Q", FDivAnn=12.0),
    )
    for first in (0, 29, 30):
        book = book_of(*rows, axis=axis_of(columns=600 - first, n_out=15, first=first))
        same(
            book.last_change("DivAnn", years(book, "2024-03")).value[0],
            np.where(np.arange(585, 600) <= 30 + share_basis.DEPTH, 2.0, 0.0),
        )


def test_a_series_is_taken_on_the_column_before_the_change():
    """At most 300 columns back, and never before the panel."""
    axis = axis_of(columns=400)
    book = book_of(
        filing(0, "2023-03", "1Q", FOP=100.0),
        filing(0, "2023-03", "1Q", time="16:00:00", FOP=110.0),
        filing(50, "2023-03", "2Q", FOP=120.0),
        filing(200, "2023-03", "3Q", FOP=120.0),
        axis=axis,
    )
    last = book.last_change("OP", years(book, "2023-03"))
    seen = book.just_before(last, np.arange(400.0)[None, :])[0, [10, 50, 350, 351]]
    same(seen, [NAN, 49.0, 49.0, NAN])


def test_without_rows_there_is_no_forecast():
    """As when the source is unavailable."""
    book = book_of()
    assert np.isnan(book.current("DivAnn", years(book, "2023-03")).value).all()
    assert np.isnan(book.last_change("OP", years(book, "2023-03")).value).all()
    assert np.isnan(book.revisions("OP", 250).since_forecast).all()


# -- random books against a plain replay ------------------------------------------------------

CODES = ("10010", "10020")
YEARS = ("2023-03", "2024-03", "2023-12")
FIRST, COLUMNS_OUT = 560, 12
T = range(FIRST, FIRST + COLUMNS_OUT)
ITEMS: dict[Item, tuple[tuple[str, str], ...]] = {
    "OP": (("FOP", "NxFOP"), ("FNCOP", "NxFNCOP")),
    "DivAnn": (("FDivAnn", "NxFDivAnn"),),
}
AMOUNTS = st.none() | st.sampled_from([1.0, 2.0, 4.0, 8.0])


@st.composite
def filings(draw: st.DrawFn) -> Row:
    this, following = draw(st.sampled_from(YEARS)), draw(st.none() | st.sampled_from(YEARS))
    columns = st.integers(FIRST - 6, T[-1]) | st.integers(FIRST - DEPTH - 8, T[-1])
    around_limits = st.sampled_from([FIRST - DEPTH, FIRST - CURRENT, 0, FIRST - 250])
    limits = around_limits.flatmap(lambda c: st.integers(c - 2, c + 12))
    column = draw(columns | limits)
    fields = [name for scopes in ITEMS.values() for pair in scopes for name in pair]
    return filing(
        min(column, T[-1]),
        this,
        "FY",
        code=draw(st.sampled_from(CODES)),
        time=draw(st.sampled_from(["15:00:00", "16:00:00"])),
        NxtFYEn=None if following is None else month_end(np.datetime64(following)),
        **{name: draw(AMOUNTS) for name in fields},
    )


@dataclass(frozen=True)
class Known:
    """A forecast as of T: its column, and its value as published and in the basis of T."""

    column: int
    value: float
    restated: float


class Replay:
    """The guidance book of one code as an observer on T keeps it, row by row."""

    def __init__(self, rows: Sequence[Row], code: str, t: int, splits: dict[int, float]) -> None:
        self.t, self.splits = t, splits
        self.own = [row for row in rows if row["Code"] == code]
        self.own.sort(key=lambda row: (row["DiscDate"], row["DiscTime"]))

    def chain(self, item: Item, year: float) -> list[Known]:
        """Forecasts in force of the first scope that has any."""
        depth = share_basis.DEPTH if item == "DivAnn" else DEPTH
        for names in ITEMS[item]:
            found = []
            for row in self.own:
                column = column_of(row["DiscDate"])
                in_force = column <= self.t <= column + depth
                for name, target in zip(names, targets(row), strict=True):
                    if in_force and target == year and row[name] is not None:
                        factor = self.factor(column) if item == "DivAnn" else 1.0
                        found.append(Known(column, row[name], row[name] * factor))
            if found:
                return found
        return []

    def factor(self, since: int) -> float:
        return math.prod(f for column, f in self.splits.items() if since < column <= self.t)

    def changes(self, chain: Sequence[Known]) -> list[tuple[int, float]]:
        return [
            (new.column, new.restated - old.restated)
            for old, new in pairwise(chain)
            if not math.isclose(new.restated, old.restated, rel_tol=1e-9)
        ]

    def guidance(self, item: Item, year: float) -> tuple[float, float, int]:
        """Current forecast as published, its last change in the basis of its column, and that."""
        chain = self.chain(item, year)
        if not chain or self.t - chain[-1].column > CURRENT:
            return NAN, NAN, 0
        changes = self.changes(chain)
        if not changes:
            return chain[-1].value, 0.0, 0
        column, amount = changes[-1]
        return chain[-1].value, amount / (self.factor(column) if item == "DivAnn" else 1), column

    def revisions(self) -> tuple[float, float, float]:
        """Net number of the last 250 columns, ages of the last change and the last forecast."""
        chains = [self.chain("OP", year) for year in {y for row in self.own for y in targets(row)}]
        changes = [(self.t - column, up) for c in chains for column, up in self.changes(c)]
        inside = [(age, up) for age, up in changes if age < 250]
        return (
            sum(math.copysign(1, up) for _, up in inside),
            min((age for age, _ in inside), default=NAN),
            min((self.t - known.column for chain in chains for known in chain), default=NAN),
        )


def column_of(date: dt.date) -> int:
    return int(np.busday_count(FIRST_DAY, date))


def targets(row: Row) -> tuple[int, int]:
    """The years a row's F- and NxF-fields are about, as months since 1970."""
    this = np.datetime64(row["CurFYEn"], "M").astype(int)
    following = row["NxtFYEn"]
    return this, this + 12 if following is None else np.datetime64(following, "M").astype(int)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(filings(), max_size=14, unique_by=lambda r: (r["Code"], r["DiscDate"], r["DiscTime"])),
    st.dictionaries(st.integers(1, T[-1]), st.sampled_from([0.5, 0.1, 3.0]), max_size=3),
    st.randoms(use_true_random=False),
)
def test_every_column_sees_what_a_replay_of_its_past_gives(rows, splits, random):
    """Current forecasts, last changes and counts, for each T from the rows in force on it."""
    axis = axis_of(
        CODES,
        columns=FIRST + COLUMNS_OUT,
        n_out=COLUMNS_OUT,
        factors={(CODES[0], column): factor for column, factor in splits.items()},
    )
    book = book_of(*random.sample(rows, len(rows)), axis=axis)
    revisions = book.revisions("OP", 250)
    for i, code in enumerate(CODES):
        replays = [Replay(rows, code, t, splits if i == 0 else {}) for t in T]
        same(np.stack([revisions.net, revisions.since_change, revisions.since_forecast])[:, i],
             np.array([replay.revisions() for replay in replays]).T)  # fmt: skip
    for year, item in product(YEARS, ITEMS):
        wanted = years(book, year, len(CODES))
        seen, last = book.current(item, wanted).value, book.last_change(item, wanted)
        for i, code in enumerate(CODES):
            replays = [Replay(rows, code, t, splits if i == 0 else {}) for t in T]
            answers = [replay.guidance(item, month(year)) for replay in replays]
            value, amount, column = np.array(answers).T
            same(seen[i], value)
            np.testing.assert_allclose(last.value[i], amount, rtol=1e-9)
            same(last.column[i], column)


@settings(deadline=None, max_examples=30)
@given(st.lists(filings(), max_size=14), st.integers(0, COLUMNS_OUT - 1))
def test_neither_later_rows_nor_the_ends_of_the_panel_change_a_value(rows, later):
    """A panel that begins later and ends earlier, without the rows of its future: same bits."""
    factors = {(CODES[0], 300): 0.3, (CODES[0], FIRST + 3): 0.7}
    whole = axis_of(CODES, columns=FIRST + COLUMNS_OUT + 7, n_out=COLUMNS_OUT + 7, first=-7,
                    factors=factors)  # fmt: skip
    part = axis_of(CODES, columns=FIRST + later + 1, n_out=later + 1, factors=factors)
    table = source("fin_summary", *rows)
    cut = table.table.filter(pa.array(part.visible_from(table) < part.n_columns))
    books = forecasts(table, whole), forecasts(Source(cut, table.publication), part)
    shown = slice(7, 7 + later + 1)
    for year in YEARS:
        wanted = [years(book, year, len(CODES)) for book in books]
        for item in ("OP", "DivAnn"):
            for name in ("current", "last_change"):
                seen, expected = (
                    getattr(book, name)(item, w).value
                    for book, w in zip(books[::-1], wanted[::-1], strict=True)
                )
                assert seen.tobytes() == expected[:, shown].tobytes()
    net, expected = (book.revisions("OP", 250).net for book in books[::-1])
    assert net.tobytes() == expected[:, shown].tobytes()
