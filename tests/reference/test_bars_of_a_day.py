"""Families limit, session and gap by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.reference.brute import base_value
from tests.reference.gap import FEATURES as GAP
from tests.reference.limit import LIMIT_WIDTHS
from tests.reference.synthetic import (
    CODE,
    COLUMNS,
    LAST,
    flat_bars,
    market_of,
    random_bars,
    without_trades,
)

END = COLUMNS - 1


def last(bars: pd.DataFrame, *names: str) -> Any:
    """Values on the last column."""
    market = market_of(bars)
    return tuple(base_value(market, name, LAST, CODE) for name in names)


def limited(up: list[int] | None = None, down: list[int] | None = None) -> pd.DataFrame:
    """Flat bars whose limits were touched so many columns ago."""
    bars = flat_bars().assign(UL="0", LL="0")
    bars.loc[[END - ago for ago in up or []], "UL"] = "1"
    bars.loc[[END - ago for ago in down or []], "LL"] = "1"
    return bars


def test_counts_and_runs_of_limits() -> None:
    """Up today, yesterday and four days ago, down two days and 25 days ago."""
    names = ("limit_up_flag", "limit_down_flag", "limit_up_cnt_20d", "limit_down_cnt_20d")
    bars = limited(up=[0, 1, 4], down=[2, 25])
    assert last(bars, *names, "limit_streak", "days_since_limit") == (1, 0, 3, 1, 2, 0)


@pytest.mark.parametrize(
    ("up", "down", "close", "streak"),
    [
        ([], [], 100.0, 0),
        (range(30), [], 100.0, 20),
        ([], range(3), 100.0, -3),
        (range(2), range(4), 101.0, 2),
        (range(2), range(4), 99.0, -4),
        (range(2), range(4), 100.0, 0),
        (range(1, 5), [], 100.0, 0),
    ],
)
def test_limit_streak(up: list[int], down: list[int], close: float, streak: int) -> None:
    """At most 20; with both flags the return decides; a run before T is over."""
    bars = limited(list(up), list(down))
    bars.loc[END, "C"] = close
    assert last(bars, "limit_streak") == (streak,)


def test_the_last_touch() -> None:
    """59 columns ago counts, 60 does not."""
    assert last(limited(up=[59]), "days_since_limit") == (59,)
    assert last(limited(up=[60]), "days_since_limit") == (None,)


def test_no_trade_is_no_touch() -> None:
    """A flag without a trade does not count."""
    bars = without_trades(limited(up=[0]), range(1))
    assert last(bars, "limit_up_flag", "limit_close_state", "limit_streak") == (0, 0, 0)


@pytest.mark.parametrize(
    ("flags", "close", "state"),
    [("up", 110.0, 1), ("up", 109.0, 0), ("down", 90.0, -1), ("none", 110.0, 0)],
)
def test_limit_close_state(flags: str, close: float, state: int) -> None:
    """Touched, and closed on the extreme of the day."""
    bars = limited([0] * (flags == "up"), [0] * (flags == "down"))
    bars.loc[END, ["H", "L", "C"]] = 110.0, 90.0, close
    assert last(bars, "limit_close_state") == (state,)


@pytest.mark.parametrize(
    ("up", "down", "close", "expected"),
    [([1], [], 99.0, -1), ([1], [], 101.0, 0), ([], [1], 101.0, 1), ([1], [1], 100.0, 0)],
)
def test_post_limit_reversal(up: list[int], down: list[int], close: float, expected: int) -> None:
    """The day after a touch goes the other way between open and close."""
    bars = limited(up, down)
    bars.loc[END, "C"] = close
    assert last(bars, "post_limit_reversal") == (expected,)


@pytest.mark.parametrize(
    ("price", "width"), [(99.9, 30), (100.0, 50), (1499.0, 300), (1500.0, 400), (6e7, 10000000)]
)
def test_limit_width(price: float, width: int) -> None:
    """The bound belongs to the next row of the table."""
    assert last(flat_bars(price), "limit_width_next_pct") == (pytest.approx(width / price),)
    assert len(LIMIT_WIDTHS) == 34


def test_limit_width_after_a_split() -> None:
    """The base price of a carried close is in the basis of T: 3000 becomes 1000."""
    bars = without_trades(flat_bars(3000.0), range(1))
    bars.loc[END, "AdjFactor"] = 1 / 3
    assert last(bars, "limit_width_next_pct") == (pytest.approx(300 / 1000),)


def test_session_by_hand() -> None:
    """Morning 100 to 104 between 98 and 106, afternoon 103 to 101, range of the day 98 to 110."""
    names = ("am_ret", "pm_ret", "lunch_gap", "am_range", "am_to_full_range", "am_value_share")
    bars = flat_bars().assign(MO=100.0, MH=106.0, ML=98.0, MC=104.0, MVa=30.0)
    bars = bars.assign(AO=103.0, AH=110.0, AL=100.0, AC=101.0, AVa=70.0, H=110.0, L=98.0, Va=100.0)
    expected = (0.04, 101 / 103 - 1, 103 / 104 - 1, 0.08, 8 / 12, 0.3)
    assert last(bars, *names) == pytest.approx(expected)
    found = last(bars, "pm_minus_am_20d")
    assert found == (pytest.approx(20 * np.log(101 / 103 / 1.04)),)
    quiet = bars.assign(AO=None, AH=None, AL=None, AC=None)
    assert last(quiet, "am_ret", "pm_ret", "lunch_gap") == (pytest.approx(0.04), None, None)
    assert last(flat_bars(), *names, "pm_minus_am_20d") == (None,) * 7


def test_ten_sessions_of_either_kind() -> None:
    """Ten mornings are enough, nine are not."""
    for missing, is_known in ((10, True), (11, False)):
        bars = flat_bars().assign(MO=100.0, MC=101.0, AO=100.0, AC=100.0)
        bars.loc[END - missing + 1 :, ["MO", "MC"]] = None
        assert (last(bars, "pm_minus_am_20d") != (None,)) == is_known


def gapped(opening: float, high: float, low: float) -> pd.DataFrame:
    """100 before, with a range of 4; T opens elsewhere."""
    bars = flat_bars().assign(H=102.0, L=98.0)
    bars.loc[END, ["O", "H", "L", "C"]] = opening, high, low, opening
    return bars


@pytest.mark.parametrize(
    ("opening", "high", "low", "atr", "filled", "retrace"),
    [
        (110.0, 111.0, 105.0, 2.5, 0, 0.5),
        (110.0, 111.0, 99.0, 2.5, 1, 1.0),
        (110.0, 111.0, 100.0, 2.5, 1, 1.0),
        (90.0, 92.0, 89.0, -2.5, 0, 0.2),
        (100.0, 101.0, 99.0, 0.0, 0, None),
        (100.09, 101.0, 99.0, 0.0225, 1, None),
    ],
)
def test_gaps_by_hand(
    opening: float, high: float, low: float, atr: float, filled: int, retrace: float | None
) -> None:
    """Gaps up and down against a true range of 4."""
    expected = pytest.approx((atr, filled, retrace))
    assert last(gapped(opening, high, low), "gap_atr", "gap_filled_flag", "gap_retrace") == expected


def test_gap_magnitude_agrees_with_pandas() -> None:
    """The z-score of the absolute overnight return over the twenty days before."""
    bars = random_bars(3)
    size = (bars["O"] / bars["C"].shift(1) - 1).abs()
    before = size.shift(1).rolling(20, min_periods=10)
    expected = ((size - before.mean()) / before.std()).iloc[-1]
    assert last(bars, "gap_magnitude_z20") == (pytest.approx(expected),)


def test_gaps_need_a_trade() -> None:
    """Everything is null without one."""
    bars = without_trades(random_bars(3), range(1))
    names = [name for name in GAP if name != "gap_resid_topix"]
    assert last(bars, *names) == (None,) * 4
