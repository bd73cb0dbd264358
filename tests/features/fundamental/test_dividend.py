"""Family dividend."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.fundamental import dividend
from pipeline.market.books.dividend_book import dividend_notices
from pipeline.market.calendar.sessions import TradingCalendar
from tests.features.books import Row, Values, market_of
from tests.market.filings import filing
from tests.market.hand import Stock, weekdays
from tests.market.records import day, source

NAN = float("nan")
N = 330
PRICE = 100.0
REVISION = "DividendForecastRevision"


def notice(number: str, column: int, rate: float | None, ex: int | None, **fields: object) -> Row:
    """A notice published on a column; the first one of its chain unless it has a CARefNo."""
    return {
        "PubDate": day(column),
        "PubTime": "12:00",
        "Code": "10010",
        "RefNo": number,
        "CARefNo": number,
        "StatCode": "1",
        "DivRate": rate,
        "ExDate": None if ex is None else day(ex),
        **fields,
    }


def stock(
    n: int = N, factors: dict[int, float | None] | None = None, listed_from: int = 0
) -> Stock:
    """A stock at 100 yen, in the basis of each day."""
    level = PRICE * np.cumprod([(factors or {}).get(u) or 1.0 for u in range(n)])
    return Stock("10010", level.tolist(), factors=factors or {}, unlisted=range(listed_from))


def values(*notices: Row, of: Stock | None = None, n_out: int = N) -> Values:
    return Values(dividend, market_of(of or stock(), n_out=n_out, notices=notices))


def forecast_values(*rows: Row, of: Stock | None = None) -> Values:
    of = of or stock()
    return Values(dividend, market_of(of, n_out=len(of.closes), summary=rows))


def close_to(seen: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-15)


# -- the notices -------------------------------------------------------------------------------


def test_dividends_of_the_trailing_year_count_from_the_ex_date():
    """On the ex-date itself and for 365 calendar days: 261 weekdays."""
    seen = values(notice("A", 5, 2.0, 20), notice("B", 100, 3.0, 110))
    days = [19, 20, 109, 110, 280, 281]
    close_to(seen.of("div_yield_ttm", *days), [NAN, 0.02, 0.02, 0.05, 0.05, 0.03])
    assert day(281) - day(20) == dt.timedelta(365)


def test_a_late_correction_counts_from_its_publication_on():
    """It replaces the amount of its chain in no earlier row; a decision of another chain adds."""
    seen = values(
        notice("A", 5, 2.0, 20),
        notice("B", 40, 2.5, 20, CARefNo="A", StatCode="2"),
        notice("C", 50, 1.0, 20),
    )
    close_to(seen.of("div_yield_ttm", 39, 40, 49, 50), [0.02, 0.025, 0.025, 0.035])


def test_a_cancelled_notice_leaves_nothing():
    """Neither an amount nor an ex-date, from the cancellation on."""
    seen = values(
        notice("A", 5, 2.0, 20),
        notice("B", 10, 2.0, 20, CARefNo="A", StatCode="3"),
        notice("C", 15, 4.0, 40),
        notice("D", 60, 4.0, 40, CARefNo="C", StatCode="3"),
    )
    close_to(seen.of("div_days_to_ex", 9, 10, 14, 15), [11.0, NAN, NAN, 25.0])
    close_to(seen.of("div_days_since_ex", 20, 59, 60), [NAN, 19.0, NAN])
    close_to(seen.of("div_yield_ttm", 59, 60), [0.04, NAN])


def test_an_undecided_rate_contributes_nothing_but_is_an_ex_date():
    """0 to the yield; the amount ahead is null until one rate of the ex-date is known."""
    seen = values(
        notice("A", 5, None, 20),
        notice("B", 12, 3.0, 20),
        notice("C", 15, 3.0, 20, CARefNo="A", StatCode="2"),
        notice("D", 25, None, 40),
    )
    close_to(seen.of("div_next_yield", 5, 11, 12, 15, 25), [NAN, NAN, 0.03, 0.06, NAN])
    close_to(seen.of("div_days_to_ex", 5, 19, 25), [15.0, 1.0, 15.0])
    close_to(seen.of("div_yield_ttm", 20, 40), [0.06, 0.06])
    close_to(values(notice("A", 5, None, 20)).of("div_yield_ttm", 19, 20), [NAN, 0.0])


def test_a_split_on_the_ex_date_applies_to_the_dividend():
    """It belongs to the share before the split, as it does before any later split."""
    of = stock(factors={20: 0.5, 30: 0.1})
    seen = values(notice("A", 5, 2.0, 20), of=of)
    close_to(seen.of("div_yield_ttm", 20, 29, 30), [0.02, 0.02, 0.02])
    late = values(notice("A", 25, 2.0, 20), of=of)  # published after the ex-date
    close_to(late.of("div_yield_ttm", 24, 25, 30), [NAN, 0.02, 0.02])


def test_the_amount_ahead_is_in_the_basis_of_its_publication():
    """Of the notice in force; a correction after the split is in the new basis."""
    of = stock(factors={10: 0.5, 14: None})
    seen = values(
        notice("A", 5, 2.0, 40),
        notice("B", 10, 2.0, 41),
        notice("C", 20, 1.0, 40, CARefNo="A", StatCode="2"),
        of=of,
    )
    close_to(seen.of("div_next_yield", 5, 9, 10, 19, 20), [0.02] * 5)
    close_to(seen.of("div_next_yield", 40), [0.04])


def test_the_nearest_ex_date_is_the_one_ahead():
    """The day itself belongs to the past; further ones wait; rates of one day add up."""
    seen = values(
        notice("A", 5, 9.0, 60),
        notice("B", 6, 1.0, 30),
        notice("C", 7, 2.0, 30),
        notice("D", 8, 0.0, 20),
    )
    columns = (5, 6, 7, 8, 19, 20, 29, 30, 59, 60)
    close_to(seen.of("div_days_to_ex", *columns), [55, 24, 23, 12, 1, 10, 1, 30, 1, NAN])
    close_to(
        seen.of("div_next_yield", *columns),
        [0.09, 0.01, 0.03, 0.0, 0.0, 0.03, 0.03, 0.09, 0.09, NAN],
    )
    close_to(seen.of("div_days_since_ex", 19, 20, 29, 30, 60), [NAN, 0.0, 9.0, 0.0, 0.0])


def test_far_ex_dates():
    """At most 250 columns are counted; an amount matters 120 columns ahead."""
    seen = values(notice("A", 5, 2.0, 300))
    close_to(seen.of("div_days_to_ex", 5, 49, 50, 51), [250.0, 250.0, 250.0, 249.0])
    close_to(seen.of("div_next_yield", 179, 180), [NAN, 0.02])


@pytest.mark.parametrize(("sessions", "distance"), [(N + 249, 250.0), (N + 248, NAN)])
def test_an_ex_date_beyond_the_published_calendar(sessions: int, distance: float):
    """It is at least as far as the calendar reaches; nearer than the cap that says nothing."""
    far = notice("A", 100, 2.0, None, ExDate=dt.date(2099, 3, 30))
    market = market_of(stock(), n_out=N)
    axis = replace(market.axis, calendar=TradingCalendar(weekdays(sessions)))
    book = dividend_notices(source("dividend", far), axis)
    seen = Values(dividend, replace(market, axis=axis, dividends=book))
    close_to(seen.of("div_days_to_ex", N - 2, N - 1), [250.0, distance])
    assert np.isnan(seen.of("div_next_yield", N - 1)).all()


def test_ages_of_ex_dates_end_at_250_columns():
    """Age 250 is kept."""
    seen = values(notice("A", 5, 2.0, 20))
    close_to(seen.of("div_days_since_ex", 270, 271), [250.0, NAN])


def test_no_ex_date_means_no_dividend_once_listed_for_250_columns():
    """Counted as listing_age_td; before, a yield needs an ex-date."""
    of = stock(listed_from=30)
    seen = values(of=of)
    close_to(seen.of("div_yield_ttm", 278, 279), [NAN, 0.0])
    close_to(values(notice("A", 5, 2.0, 40), of=of).of("div_yield_ttm", 39, 40), [NAN, 0.02])


def test_without_a_price_there_is_no_yield():
    """Counts of columns do not need one."""
    closes = np.full(N, PRICE)
    closes[290:] = NAN
    seen = values(notice("A", 5, 2.0, 200), notice("B", 200, 2.0, 325),
                  of=Stock("10010", closes.tolist()))  # fmt: skip
    close_to(seen.of("div_yield_ttm", 309, 310), [0.02, NAN])
    close_to(seen.of("div_next_yield", 309, 310), [0.02, NAN])
    close_to(seen.of("div_days_to_ex", 310), [15.0])
    close_to(seen.of("div_days_since_ex", 310), [110.0])
    idle = values(of=Stock("10010", closes.tolist()))
    close_to(idle.of("div_yield_ttm", 309, 310), [0.0, NAN])


def test_a_notice_of_a_closed_day_is_in_the_basis_of_the_session_before():
    """A split on the next session comes after it."""
    saturday = day(4) + dt.timedelta(days=1)
    of = stock(factors={5: 0.5})
    seen = values(notice("A", 4, 2.0, 9, PubDate=saturday), of=of)
    close_to(seen.of("div_next_yield", 4, 5), [NAN, 0.02])


# -- the forecasts -----------------------------------------------------------------------------


def test_the_forecast_is_that_of_the_year_after_the_last_results():
    """Against the price of T and the dividend of the last year, all in the basis of T."""
    seen = forecast_values(
        filing(10, "2023-03", "FY", DivAnn=4.0, NxFDivAnn=5.0),
        filing(60, "2024-03", "1Q", FDivAnn=6.0),
        filing(90, "2024-03", "3Q", NxFDivAnn=9.0),
        filing(240, "2024-03", "FY", DivAnn=6.5, NxFDivAnn=7.0),
        of=stock(factors={30: 0.5, 100: 0.5}),
    )
    # 5 yen of column 10 are 2.5 yen of column 30; 6 yen of column 60 are 3 yen of column 100.
    columns = (9, 10, 29, 30, 59, 60, 99, 100, 239, 240)
    prices = np.array([100, 100, 100, 50, 50, 50, 50, 25, 25, 25])
    expected = np.array([NAN, 5.0, 5.0, 2.5, 2.5, 6.0, 6.0, 3.0, 3.0, 7.0])
    close_to(seen.of("div_yield_fwd", *columns), (expected / prices).tolist())
    paid = np.array([NAN, 4.0, 4.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 6.5])
    close_to(seen.of("div_fwd_growth", *columns), (expected / paid - 1.0).tolist())


def test_the_last_revision_of_the_dividend_is_relative_to_the_close_before_it():
    """Whatever splits come between, on its column and after it."""
    factors = {30: 0.5, 60: 0.5, 100: 0.1}
    seen = forecast_values(
        filing(10, "2023-03", "FY", NxFDivAnn=8.0),
        filing(40, "2024-03", "1Q", FDivAnn=4.0),  # the same amount after a split
        filing(60, "2024-03", "1Q", DocType=REVISION, FDivAnn=2.5),  # 2 yen before
        filing(80, "2024-03", "2Q", FDivAnn=2.5),
        filing(240, "2024-03", "FY", NxFDivAnn=0.5),
        of=stock(factors=factors),
    )
    columns = (9, 10, 40, 59, 60, 80, 100, 239, 240)
    close_to(seen.of("div_rev_last", *columns), [NAN, 0, 0, 0, *[0.5 / 25.0] * 4, 0.0])


def test_a_dividend_that_was_not_paid_has_no_growth():
    """0 and less are null; a forecast of 0 is a yield of 0."""
    rows = filing(10, "2023-03", "FY", DivAnn=0.0, NxFDivAnn=0.0)
    seen = forecast_values(rows)
    close_to(seen.of("div_yield_fwd", 10), [0.0])
    close_to(seen.of("div_fwd_growth", 10), [NAN])
    cut = forecast_values(filing(10, "2023-03", "FY", DivAnn=5.0, NxFDivAnn=0.0))
    close_to(cut.of("div_fwd_growth", 10), [-1.0])


def test_forecasts_and_their_changes_expire():
    """A forecast after 300 columns; the price before a change is sought for as many."""
    seen = forecast_values(
        filing(5, "2023-03", "FY", DivAnn=4.0, NxFDivAnn=5.0),
        filing(20, "2024-03", "1Q", FDivAnn=6.0),
        filing(200, "2024-03", "3Q", FDivAnn=6.0),
        of=stock(600),
    )
    close_to(seen.of("div_rev_last", 20, 320, 321, 501), [0.01, 0.01, NAN, NAN])
    close_to(seen.of("div_yield_fwd", 500, 501), [0.06, NAN])
    close_to(seen.of("div_fwd_growth", 500, 501), [0.5, NAN])


def test_without_rows_nothing_is_known():
    """As when the sources are unavailable: the engine blanks the zeros of this."""
    seen = values()
    for feature in dividend.FEATURES:
        allowed = {0.0} if feature.name == "div_yield_ttm" else set()
        assert {x for x in seen.of(feature.name, *range(N)) if not math.isnan(x)} <= allowed


# -- random notices against a plain replay -----------------------------------------------------

WANTED = 40
SPLITS = st.dictionaries(st.integers(1, N - 1), st.sampled_from([0.5, 0.1, 3.0]), max_size=3)
NEAR_END = st.integers(N - WANTED - 4, N - 1)


@st.composite
def chains(draw: st.DrawFn) -> list[Row]:
    """A few notices under one number, in any order, with whatever they correct."""
    first = draw(st.integers(0, N - 1) | NEAR_END)
    number = draw(st.integers(0, 9).map(str))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        column = draw(st.integers(first, N - 1) | NEAR_END)
        ex = draw(NEAR_END | st.integers(0, N + 300) | st.sampled_from([N - 250, N - 262]))
        rows.append(
            notice(
                draw(st.text("0123456789", min_size=1, max_size=3)),
                column,
                draw(st.none() | st.sampled_from([0.0, 1.0, 2.5, 7.0])),
                draw(st.sampled_from([ex, ex, ex, None])),
                PubTime=draw(st.sampled_from(["12:00", "15:30"])),
                CARefNo=number,
                StatCode=draw(st.sampled_from(["1", "2", "2", "3"])),
            )
        )
    return rows


def replayed(rows: Sequence[Row], factors: dict[int, float], t: int) -> dict[str, float]:
    """The four columns of one stock from the notices that are public on T, one by one."""
    today = day(t)
    in_force: dict[object, Row] = {}
    for row in sorted(rows, key=lambda row: (row["PubDate"], row["PubTime"], row["RefNo"])):
        if row["PubDate"] <= today:
            in_force[row["CARefNo"]] = row
    book = [row for row in in_force.values() if row["StatCode"] != "3" and row["ExDate"]]

    def basis(first: dt.date) -> float:
        return math.prod(f for u, f in factors.items() if first <= day(u) <= today)

    price = PRICE * math.prod(f for u, f in factors.items() if u <= t)
    past = [row for row in book if row["ExDate"] <= today]
    trailing = [row for row in past if row["ExDate"] > today - dt.timedelta(365)]
    paid = [row["DivRate"] * basis(row["ExDate"]) for row in trailing if row["DivRate"]]
    ahead = min((row["ExDate"] for row in book if row["ExDate"] > today), default=None)
    rates = [
        row["DivRate"] * basis(row["PubDate"] + dt.timedelta(1))
        for row in book
        if row["ExDate"] == ahead and row["DivRate"] is not None
    ]
    to_ex = NAN if ahead is None else float(np.busday_count(today, ahead))
    since = [float(np.busday_count(row["ExDate"], today)) for row in past]
    return {
        "div_yield_ttm": sum(paid) / price if trailing or t >= 249 else NAN,
        "div_days_to_ex": min(to_ex, 250.0) if ahead else NAN,
        "div_days_since_ex": min((x for x in since if x <= 250), default=NAN),
        "div_next_yield": sum(rates) / price if rates and to_ex <= 120 else NAN,
    }


@settings(deadline=None, max_examples=25)
@given(st.lists(chains(), max_size=5), SPLITS, st.randoms(use_true_random=False))
def test_every_column_sees_what_a_replay_of_its_past_gives(groups, factors, random):
    """Chains that share a number mix; rows come in any order; each T sees its past alone."""
    rows = [row for group in groups for row in group]
    unique = {(r["CARefNo"], r["PubDate"], r["PubTime"], r["RefNo"]): r for r in rows}
    rows = list(unique.values())
    of = stock(factors=factors)
    seen = values(*random.sample(rows, len(rows)), of=of, n_out=WANTED)
    for t in range(N - WANTED, N):
        for name, value in replayed(rows, factors, t).items():
            np.testing.assert_allclose(seen.of(name, t), [value], rtol=1e-9)


@settings(deadline=None, max_examples=15)
@given(st.lists(chains(), max_size=5), st.integers(N - WANTED, N - 2))
def test_what_is_published_later_changes_no_bit(groups, last):
    """Neither notices nor columns after T."""
    rows = [row for group in groups for row in group]
    factors = {N - 200: 0.3, N - 20: 0.7}
    whole = values(*rows, of=stock(factors=factors), n_out=WANTED)
    public = [row for row in rows if row["PubDate"] <= day(last)]
    n = last + 1
    known = {u: f for u, f in factors.items() if u < n}
    cut = values(*public, of=stock(n, known), n_out=n - (N - WANTED))
    columns = range(N - WANTED, n)
    for name in ("div_yield_ttm", "div_days_to_ex", "div_days_since_ex", "div_next_yield"):
        seen, expected = (np.array(v.of(name, *columns)) for v in (cut, whole))
        assert seen.tobytes() == expected.tobytes()
