"""Family limit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import limit
from pipeline.market.panel.intraday_bars import LimitFlags
from tests.features.bars import (
    Bars,
    assert_bits_do_not_depend_on_the_panel,
    assert_declared,
    bars_from_closes,
    market_of,
    random_bars,
)
from tests.features.surroundings import in_surroundings
from tests.features.windows import PROPERTY

FLAGS = st.lists(st.sampled_from("ud-b"), min_size=1, max_size=90)


def market_with(touches: str, bars: Bars | None = None, n_out: int | None = None) -> Any:
    """One line with a letter per column: u limit up, d limit down, b both, - neither.

    Without ``bars`` the price stands still at 100 and the close is high and low of every day.
    """
    width = len(touches)
    panel = market_of(bars or bars_from_closes([100.0] * width), n_out or width).panel

    def on(letters: str) -> np.ndarray:
        return np.array([[letter in letters for letter in touches]])

    limits = LimitFlags(up=on("ub"), down=on("db"), closed_high=on("ud-b"), closed_low=on("ud-b"))
    return SimpleNamespace(panel=panel, limits=limits)


def of(touches: str, bars: Bars | None = None, n_out: int | None = None) -> dict[str, FloatArray]:
    """Features of the last columns of the line."""
    return {name: x[0] for name, x in limit.compute(market_with(touches, bars, n_out)).items()}


def day_bars(*days: tuple[float, float]) -> Bars:
    """Bars of (open, close) pairs."""
    o, c = np.array(days).T[:, None, :]
    v = np.full(o.shape, 100.0)
    return {"o": o, "h": np.maximum(o, c), "l": np.minimum(o, c), "c": c, "v": v, "va": v * c}


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (lines, n_out)."""
    assert_declared(in_surroundings(limit))


def test_the_panel_around_a_value_does_not_matter():
    """Bit for bit."""
    assert_bits_do_not_depend_on_the_panel(in_surroundings(limit))


def test_flags_counts_and_ages_by_hand():
    """Columns before the first one count as untouched, so nothing is null but the age."""
    seen = of("--u-db-")
    assert seen["limit_up_flag"].tolist() == [0, 0, 1, 0, 0, 1, 0]
    assert seen["limit_down_flag"].tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert seen["limit_up_cnt_20d"].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert seen["limit_down_cnt_20d"].tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert np.isnan(seen["days_since_limit"][:2]).all()
    assert seen["days_since_limit"][2:].tolist() == [0, 1, 0, 0, 1]


def test_windows_end_after_20_and_60_columns():
    """T-19 and T-59 are the last columns that count."""
    seen = of("u" + "-" * 69)
    assert np.flatnonzero(seen["limit_up_cnt_20d"]).tolist() == [*range(20)]
    assert np.flatnonzero(np.isfinite(seen["days_since_limit"])).tolist() == [*range(60)]


@given(FLAGS, st.integers(1, 90))
@PROPERTY
def test_a_streak_is_the_length_of_the_run_that_ends_on_t(letters, n_out):
    """Signed, at most 20; both limits on T count as neither while the price stands still."""
    touches = "".join(letters)
    seen = of(touches, n_out=min(n_out, len(touches)))["limit_streak"]
    for back, value in enumerate(seen[::-1]):
        so_far = touches[: len(touches) - back]
        side = so_far[-1] if so_far[-1] in "ud" else "-"
        run = len(so_far) - len(so_far.rstrip(side + "b"))
        assert value == (min(run, 20) * (1 if side == "u" else -1) if side != "-" else 0)


@pytest.mark.parametrize(("close", "expected"), [(110.0, 2), (90.0, -1), (100.0, 0)])
def test_the_return_decides_between_both_limits(close, expected):
    """On T alone: a day with both limits belongs to a run of either side before that."""
    bars = day_bars((100.0, 100.0), (100.0, 100.0), (100.0, close))
    assert of("-ub", bars)["limit_streak"][-1] == expected
    assert np.isnan(market_of(day_bars((100.0, 100.0)), 1).panel.r).all()
    assert of("b", day_bars((100.0, 100.0)))["limit_streak"] == [0]  # r_T is null


def test_the_close_tells_how_the_day_ended():
    """Up at the high, down at the low; both at one price is neither."""
    market = market_with("udbud")
    market.limits.closed_high[:] = [[True, True, True, False, True]]
    market.limits.closed_low[:] = [[True, True, True, True, False]]
    assert limit.compute(market)["limit_close_state"][0].tolist() == [1, -1, 0, 0, 0]


def test_a_reversal_is_a_day_against_the_limit_of_the_day_before():
    """The body of the bar of T counts, not its gap; a day with both limits goes either way."""
    falls, rises, flat = (100.0, 99.0), (99.0, 100.0), (99.0, 99.0)
    days = (flat, falls, falls, rises, flat, falls, rises, rises)
    seen = of("u-dub-b-", day_bars(*days))["post_limit_reversal"]
    assert seen.tolist() == [0, -1, 0, 1, 0, -1, 0, 1]


def test_a_day_without_a_trade_has_no_body_to_reverse():
    """Null while not listed, 0 while listed."""
    seen = of("u-", bars_from_closes([100.0, np.nan]))
    assert seen["post_limit_reversal"].tolist() == [0, 0]


def test_an_unlisted_column_is_null_and_untouched_for_later_ones():
    """A gap in the listing ends a streak and adds no touch."""
    market = market_with("uuuu")
    market.panel.listed[0, 1] = False
    seen = {name: x[0] for name, x in limit.compute(market).items()}
    assert np.isnan(seen["limit_up_flag"]).tolist() == [False, True, False, False]
    assert seen["limit_up_cnt_20d"].tolist()[2:] == [2, 3]
    assert seen["limit_streak"].tolist()[2:] == [1, 2]


@pytest.mark.parametrize(
    ("price", "width"),
    [
        (1.0, 30), (99.0, 30), (100.0, 50), (199.0, 50), (200.0, 80), (1_499.0, 300),
        (1_500.0, 400), (4_999.0, 700), (5_000.0, 1_000), (49_999_999.0, 7_000_000),
        (50_000_000.0, 10_000_000),
    ],
)  # fmt: skip
def test_the_limit_width_follows_the_table(price, width):
    """A boundary belongs to the price range above it."""
    seen = of("-", bars_from_closes([price]))["limit_width_next_pct"]
    assert seen == pytest.approx(width / price, rel=1e-12)


def test_rounding_of_split_factors_does_not_cross_a_boundary():
    """A base price of 100 less the last bits is 100."""
    for price in (100.0 * (1 - 1e-15), 100.0 * (1 + 1e-15)):
        seen = of("-", bars_from_closes([price]))["limit_width_next_pct"]
        assert seen == pytest.approx(0.5, rel=1e-12)
    assert of("-", bars_from_closes([99.9]))["limit_width_next_pct"] < 0.31


def test_the_base_price_is_carried():
    """For 20 columns without a trade, then there is none."""
    seen = of("-" * 22, bars_from_closes([400.0, *[np.nan] * 21]))["limit_width_next_pct"]
    assert seen[:21] == pytest.approx(0.2)
    assert np.isnan(seen[21])


def test_lines_of_one_code_share_its_flags():
    """A split inside the wanted columns makes two lines, whose flags are those of the code."""
    bars = random_bars(2, 30, seed=31)
    market = market_of(bars, 30)
    market.panel.line_code[:] = 0
    touches = market_with("-" * 10 + "u" * 20).limits
    seen = limit.compute(SimpleNamespace(panel=market.panel, limits=touches))
    np.testing.assert_array_equal(seen["limit_up_cnt_20d"][0], seen["limit_up_cnt_20d"][1])
