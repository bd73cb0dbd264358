"""Labels on small arrays: worked by hand, in any basis, and settled for good."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.labels import label_rows, label_values
from pipeline.features.labels.label_values import HORIZONS, LABELS
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.panel.outcomes import NO_BAR, Outcomes, outcomes_of

NAN = math.nan
SESSIONS = np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]")
CALENDAR = TradingCalendar(SESSIONS)


def made(
    opens: list[list[float]],
    closes: list[list[float]],
    days: int,
    factors: list[list[float]] | None = None,
    topix: list[float] | None = None,
    volatility: float = 0.2,
) -> Outcomes:
    """Outcomes of codes with these prices; every one is in the universe on the first ``days``."""
    o, c = np.array(opens), np.array(closes)
    traded = np.flatnonzero(~np.isnan(c).all(axis=0))
    return Outcomes(
        sessions=SESSIONS[: c.shape[1]],
        days=days,
        codes=np.array([f"{1301 + i}0" for i in range(c.shape[0])]),
        universe=np.ones((c.shape[0], days), dtype=bool),
        sector=np.full((c.shape[0], days), 50.0),
        volatility=np.full((c.shape[0], days), volatility),
        o=o,
        c=c,
        adj_factor=np.ones(c.shape) if factors is None else np.array(factors),
        topix_open=np.full(c.shape[1], 1000.0) if topix is None else np.array(topix),
        last_bar=int(traded.max(initial=NO_BAR)),
    )


def value(outcomes: Outcomes, name: str, day: int = 0, code: int = 0) -> float:
    return float(label_values.compute(outcomes, 0, outcomes.days)[name][code, day])


def test_a_case_by_hand() -> None:
    """Close 100; T+1 opens at 110 and closes at 120; T+2 opens at 132."""
    found = made([[NAN, 110.0, 132.0]], [[100.0, 120.0, 130.0]], 1, topix=[10.0, 20.0, 21.0])
    assert value(found, "label_ret_cc_1d") == pytest.approx(0.2)
    assert value(found, "label_ret_cc_2d") == pytest.approx(0.3)
    assert value(found, "label_logret_cc_2d") == pytest.approx(math.log(1.3))
    assert value(found, "label_ret_oo_1d") == pytest.approx(0.2)
    assert value(found, "label_ret_oo_1d_mktrel") == pytest.approx(0.2 - 0.05)
    assert value(found, "label_ret_oo_1d_volscaled") == pytest.approx(0.2 / 0.2 * math.sqrt(252))
    assert math.isnan(value(found, "label_ret_oo_1d_rank"))  # fewer than 20
    assert math.isnan(value(found, "label_ret_oo_1d_secrel"))  # fewer than 5
    assert math.isnan(value(found, "label_ret_oo_2d"))  # T+3 is still to come
    assert math.isnan(value(found, "label_ret_cc_5d"))


def test_a_code_that_is_delisted_keeps_its_last_trade() -> None:
    """Others go on trading, so the exit column is there; its last close is what was got."""
    gone = [100.0, 50.0, 10.0] + [NAN] * 22
    found = made([gone, [7.0] * 25], [gone, [7.0] * 25], 3)
    assert value(found, "label_ret_cc_20d") == pytest.approx(-0.9)
    assert value(found, "label_ret_oo_20d") == pytest.approx(10.0 / 50.0 - 1.0)
    assert math.isnan(value(found, "label_ret_oo_1d", day=2))  # T+1 has no trade
    assert math.isnan(value(found, "label_ret_cc_20d", day=2))  # nor has any after it


def test_without_a_trade_on_the_exit_day_the_last_close_counts() -> None:
    """Not the open of a day before, and not a close after the exit."""
    found = made([[1.0, 10.0, 11.0, NAN, 20.0]], [[1.0, 12.0, 13.0, NAN, 30.0]], 1)
    assert value(found, "label_ret_oo_2d") == pytest.approx(13.0 / 10.0 - 1.0)
    assert value(found, "label_ret_cc_2d") == pytest.approx(12.0)


def test_a_market_without_a_bar_settles_nothing() -> None:
    """The exit column lies after the last bar; with the next bar of anything it is known."""
    closed = made([[5.0, 6.0, NAN]], [[5.0, 6.0, NAN]], 1)
    assert math.isnan(value(closed, "label_ret_cc_2d"))
    reopened = made([[5.0, 6.0, NAN, 9.0]], [[5.0, 6.0, NAN, 9.0]], 1)
    assert value(reopened, "label_ret_cc_2d") == pytest.approx(0.2)
    assert value(reopened, "label_ret_oo_1d") == 0.0


def test_a_split_alone_is_no_return() -> None:
    """1:3 on T+2, nothing else happens: exactly 0 throughout, so ties in ranks are ties."""
    prices = [[900.0, 900.0] + [300.0] * 22]
    factors = [[1.0, 1.0, 1 / 3] + [1.0] * 21]
    computed = label_values.compute(made(prices, prices, 1, factors), 0, 1)
    for h in HORIZONS:
        assert computed[f"label_ret_cc_{h}d"][0, 0] == 0.0
        assert computed[f"label_logret_oo_{h}d"][0, 0] == 0.0


def test_ranks_need_twenty_values_and_share_ties() -> None:
    """From 0 to 1 over the day; equal returns get their mean rank."""
    exits = [1.0, 2.0, 2.0, *range(4, 21)]
    found = made([[1.0, 1.0, x] for x in exits], [[1.0, 1.0, x] for x in exits], 1)
    ranks = [value(found, "label_ret_oo_1d_rank", code=i) for i in range(20)]
    assert ranks[:4] == pytest.approx([0.0, 1.5 / 19, 1.5 / 19, 3 / 19])
    assert ranks[-1] == 1.0
    means = [value(found, "label_ret_oo_1d_secrel", code=i) for i in range(20)]
    assert sum(means) == pytest.approx(0.0, abs=1e-9)


def test_a_still_stock_has_no_scaled_label() -> None:
    """Volatility below 0.01, or none."""
    for volatility in (0.009, NAN):
        found = made([[1.0, 1.0, 2.0]], [[1.0, 1.0, 2.0]], 1, volatility=volatility)
        assert math.isnan(value(found, "label_ret_oo_1d_volscaled"))
        assert value(found, "label_ret_oo_1d") == 1.0


@st.composite
def histories(draw: st.DrawFn) -> Outcomes:
    """A few codes over some columns: trades with gaps, splits, a market that may stand still."""
    columns = draw(st.integers(2, 40))
    days = draw(st.integers(1, columns))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    shape = (draw(st.integers(1, 26)), columns)
    c = np.exp(rng.normal(5.0, 0.3, shape))
    o = c * np.exp(rng.normal(0.0, 0.05, shape))
    silent = rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))
    silent |= (rng.random(columns) < 0.05)[None, :]
    o[silent] = c[silent] = np.nan
    factors = np.where(rng.random(shape) < 0.05, rng.choice([0.5, 1 / 3, 10.0], shape), 1.0)
    found = made(o.tolist(), c.tolist(), days, factors.tolist())
    return replace(
        found,
        universe=rng.random((shape[0], days)) < 0.9,
        sector=rng.choice([50.0, 1050.0], (shape[0], days)),
        topix_open=rng.normal(2000.0, 10.0, columns),
    )


def cut(outcomes: Outcomes, columns: int) -> Outcomes:
    """The same as it was when only the first ``columns`` columns were there."""
    days = min(outcomes.days, columns)
    c = outcomes.c[:, :columns]
    return replace(
        outcomes,
        sessions=outcomes.sessions[:columns],
        days=days,
        universe=outcomes.universe[:, :days],
        sector=outcomes.sector[:, :days],
        volatility=outcomes.volatility[:, :days],
        o=outcomes.o[:, :columns],
        c=c,
        adj_factor=outcomes.adj_factor[:, :columns],
        topix_open=outcomes.topix_open[:columns],
        last_bar=int(np.flatnonzero(~np.isnan(c).all(axis=0)).max(initial=NO_BAR)),
    )


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 40))
def test_a_label_never_changes_once_its_exit_is_there(full: Outcomes, columns: int) -> None:
    """Bit by bit, whatever comes later; and before that it is null."""
    then = cut(full, min(columns, full.sessions.size))
    now, before = label_values.compute(full, 0, full.days), label_values.compute(then, 0, then.days)
    for label in LABELS:
        for day in range(then.days):
            seen, was = now[label.name][:, day], before[label.name][:, day]
            if day + label.ahead <= then.last_bar:
                assert seen.tobytes() == was.tobytes(), (label.name, day)
            else:
                assert np.isnan(was).all(), (label.name, day)


@settings(max_examples=30, deadline=None)
@given(histories())
def test_days_are_independent_and_the_past_plays_no_part(full: Outcomes) -> None:
    """A day alone, without the columns before it, gives the same bits."""
    day = full.days - 1
    alone = replace(
        full,
        sessions=full.sessions[day:],
        days=1,
        universe=full.universe[:, day:],
        sector=full.sector[:, day:],
        volatility=full.volatility[:, day:],
        o=full.o[:, day:],
        c=full.c[:, day:],
        adj_factor=full.adj_factor[:, day:],
        topix_open=full.topix_open[day:],
        last_bar=max(full.last_bar - day, NO_BAR),
    )
    whole, own = label_values.compute(full, 0, full.days), label_values.compute(alone, 0, 1)
    for name, values in whole.items():
        assert values[:, day].tobytes() == own[name][:, 0].tobytes(), name


@settings(max_examples=30, deadline=None)
@given(histories(), st.integers(1, 40), st.floats(0.5, 2.0))
def test_what_was_settled_stands_whatever_the_bars_say_now(
    full: Outcomes, columns: int, wrong: float
) -> None:
    """Corrected prices reach only the labels that were still to come; all rows are there."""
    then = cut(full, min(columns, full.sessions.size))
    corrected = replace(full, c=full.c * wrong ** np.arange(full.sessions.size))
    published = label_rows.rows(then, 0, then.days)
    new = label_rows.rows(corrected, 0, full.days)
    if then.last_bar == NO_BAR:
        return
    last_bar = full.sessions[then.last_bar]
    kept = label_rows.keep_settled(new, published, last_bar, CALENDAR)
    assert kept.rows.select(["Date", "Code"]).equals(new.select(["Date", "Code"]))
    day = new["Date"].to_numpy().astype("datetime64[D]") - full.sessions[0]
    there = day.astype(int) < then.days
    for label in LABELS:
        settled = there & (day.astype(int) + label.ahead <= then.last_bar)
        was = {k: v for k, v in keyed(published, label.name).items()}
        seen, fresh = keyed(kept.rows, label.name), keyed(new, label.name)
        for place, key in enumerate(seen):
            expected = was[key] if settled[place] else fresh[key]
            assert seen[key] == expected, (label.name, key)


def keyed(table: pa.Table, name: str) -> dict[tuple[dt.date, str], float | None]:
    keys = zip(table["Date"].to_pylist(), table["Code"].to_pylist(), strict=True)
    return dict(zip(keys, table[name].to_pylist(), strict=True))


def test_a_difference_that_is_not_taken_is_named() -> None:
    """One corrected close: its number and an example."""
    prices = [[100.0, 120.0, 130.0]]
    published = label_rows.rows(made(prices, prices, 1), 0, 1)
    new = label_rows.rows(made(prices, [[100.0, 125.0, 130.0]], 1), 0, 1)
    kept = label_rows.keep_settled(new, published, SESSIONS[2], CALENDAR)
    assert kept.rows.equals(published)
    assert kept.differing == 2  # simple and log
    assert kept.example == "label_ret_cc_1d of 13010 on 2024-01-01"
    assert label_rows.keep_settled(new, new, SESSIONS[2], CALENDAR).example == ""


def raw(dates: list[int], **columns: list[object]) -> pa.Table:
    days = pa.array([SESSIONS[d].astype(object) for d in dates], pa.date32())
    return pa.table({"Date": days, **columns})


def test_outcomes_are_laid_out_from_raw_records() -> None:
    """Trades of unlisted days, without volume or on closed days do not count; null factors are 1."""
    members = raw([0, 0, 1], Code=["13010", "99840", "13010"], vol=[0.1, None, 0.2])
    bars = raw(
        [0, 1, 2, 0, 1, 3, 0],
        Code=["13010"] * 3 + ["99840"] * 2 + ["25935"] * 2,
        O=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        C=[1.5, 2.5, 3.5, 4.5, 5.5, 6.5, None],
        Vo=[1.0, 0.0, 1.0, 1.0, 1.0, 1.0, None],
        AdjFactor=[None, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0],
    )
    listed = raw([0, 1, 2, 0], Code=["13010"] * 3 + ["99840"], S33=["0050", "1050", "", "9999"])
    topix = raw([0, 2], O=[10.0, 11.0])
    found = outcomes_of(members, "vol", bars, listed, topix, SESSIONS[:4])
    assert found.days == 2
    assert found.codes.tolist() == ["13010", "99840"]
    assert found.universe.tolist() == [[True, True], [True, False]]
    np.testing.assert_array_equal(found.c, [[1.5, NAN, 3.5, NAN], [4.5, NAN, NAN, NAN]])
    np.testing.assert_array_equal(found.o, [[1.0, NAN, 3.0, NAN], [4.0, NAN, NAN, NAN]])
    np.testing.assert_array_equal(found.adj_factor, [[1, 0.5, 1, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(found.sector, [[50.0, 1050.0], [NAN, NAN]])
    np.testing.assert_array_equal(found.volatility, [[0.1, 0.2], [NAN, NAN]])
    np.testing.assert_array_equal(found.topix_open, [10.0, NAN, 11.0, NAN])
    assert found.last_bar == 3  # of any issue
    with pytest.raises(ValueError, match="none of the given sessions"):
        outcomes_of(members, "vol", bars, listed, topix, SESSIONS[1:4])
