"""Small hand-made and random bars for the tests of the price families."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.market.panel.price_panel import Panel

Bars = dict[str, FloatArray]

FIRST_DAY = np.datetime64("2020-01-06")


def random_bars(n_lines: int, n_columns: int, seed: int, no_trade: float = 0.0) -> Bars:
    """Consistent bars of a random walk; ``no_trade`` is the share of columns without a trade."""
    rng = np.random.default_rng(seed)
    shape = (n_lines, n_columns)
    c = 1000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, shape), axis=1))
    o = c * np.exp(rng.normal(0.0, 0.01, shape))
    h = np.maximum(o, c) * np.exp(np.abs(rng.normal(0.0, 0.008, shape)))
    low = np.minimum(o, c) * np.exp(-np.abs(rng.normal(0.0, 0.008, shape)))
    v = np.round(rng.lognormal(10.0, 1.0, shape))
    bars = {"o": o, "h": h, "l": low, "c": c, "v": v, "va": v * (h + low + c) / 3.0}
    silent = rng.random(shape) < no_trade
    return {name: np.where(silent, np.nan, x) for name, x in bars.items()}


def bars_from_closes(*lines: list[float]) -> Bars:
    """Bars that open, peak and close at one price; NaN is a column without a trade."""
    c = np.array(lines, dtype=np.float64)
    v = np.where(np.isnan(c), np.nan, 100.0)
    return {"o": c, "h": c, "l": c, "c": c, "v": v, "va": v * c}


def without_trade(bars: Bars, line: int, columns: slice) -> Bars:
    """The same bars with some columns of one line blanked."""
    result = {name: x.copy() for name, x in bars.items()}
    for x in result.values():
        x[line, columns] = np.nan
    return result


def newest(bars: Bars, n_columns: int) -> Bars:
    """The last columns of the bars."""
    return {name: x[:, -n_columns:].copy() for name, x in bars.items()}


def market_of(bars: Bars, n_out: int) -> Any:
    """What a line family may see of a market: its panel, and nothing else.

    Args:
        bars: o, h, l, c, v, va of shape (lines, columns); listed everywhere.
        n_out: wanted columns.
    """
    n_lines, n_columns = bars["c"].shape
    panel = Panel(
        sessions=FIRST_DAY + np.arange(n_columns),
        n_out=n_out,
        codes=np.array([f"{1000 + i}0" for i in range(n_lines)]),
        line_code=np.arange(n_lines, dtype=np.int32),
        line_first=np.zeros(n_lines, dtype=np.int32),
        line_stop=np.full(n_lines, n_out, dtype=np.int32),
        **bars,
        listed=np.ones((n_lines, n_columns), dtype=bool),
        adj_factor=np.ones((n_lines, n_columns)),
    )
    return SimpleNamespace(panel=panel)


def assert_declared(family: ModuleType) -> None:
    """The family returns exactly its declared columns, in float64 of shape (lines, n_out)."""
    values = family.compute(market_of(random_bars(2, 40, seed=1), n_out=7))
    assert list(values)
    assert set(values) == {feature.name for feature in family.FEATURES}
    assert {x.shape for x in values.values()} == {(2, 7)}
    assert {x.dtype for x in values.values()} == {np.dtype(np.float64)}


def assert_bits_do_not_depend_on_the_panel(family: ModuleType) -> None:
    """Neither earlier history, nor later days, nor more wanted columns change a bit of a value.

    The lines: one that trades, one listed and one delisted inside the wanted columns, one with
    a long halt there, all with some days without a trade.
    """
    n_out, later = 30, 13
    needed = max(feature.lookback for feature in family.FEATURES) + 21 + n_out
    bars = random_bars(4, needed + 77 + later, seed=2, no_trade=0.05)
    last = needed + 77
    bars = without_trade(bars, 1, slice(None, last - 20))
    bars = without_trade(bars, 2, slice(last - 20, None))
    bars = without_trade(bars, 3, slice(last - 25, last - 2))
    past = {name: x[:, :last] for name, x in bars.items()}
    expected = family.compute(market_of(newest(past, needed), n_out))
    for history, wider in ((1, 0), (32, 3), (77, 50)):
        seen = family.compute(market_of(newest(past, needed + history), n_out + wider))
        for name, values in expected.items():
            np.testing.assert_array_equal(seen[name][:, -n_out:], values, err_msg=name)
    seen = family.compute(market_of(newest(bars, needed + later), n_out + later))
    for name, values in expected.items():
        np.testing.assert_array_equal(seen[name][:, :n_out], values, err_msg=name)


def assert_no_column_is_empty(family: ModuleType) -> None:
    """After the declared look-back every column of a stock that trades daily has a value."""
    for feature in family.FEATURES:
        bars = random_bars(1, feature.lookback + 1, seed=3)
        value = family.compute(market_of(bars, n_out=1))[feature.name]
        assert np.isfinite(value).all(), feature.name


def assert_close(seen: FloatArray, expected: FloatArray, tolerance: float = 1e-9) -> None:
    """Equal nulls, and values within an absolute tolerance."""
    np.testing.assert_allclose(seen, expected, rtol=0.0, atol=tolerance)
