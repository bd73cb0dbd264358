"""Small markets of many stocks for the tests of the families that compare stocks."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.market.derivatives.futures_quotes import Contracts
from pipeline.market.panel.benchmark_levels import INDEX_CODES, IndexCloses, Topix
from pipeline.market.panel.price_panel import DateArray
from tests.features.bars import market_of, random_bars

S33 = (50.0, 1050.0, 3650.0, 9050.0)
S17 = (1.0, 7.0)


def weekdays(n: int) -> DateArray:
    """Consecutive sessions from a Monday on."""
    days: DateArray = np.busday_offset(np.datetime64("2020-01-06"), np.arange(n), roll="forward")
    return days


def random_topix(n_columns: int, seed: int) -> Topix:
    bars = random_bars(1, n_columns, seed)
    return Topix(**{name: bars[name][0] for name in "ohlc"})


def topix_of(closes: FloatArray) -> Topix:
    """Flat bars."""
    closes = np.asarray(closes, dtype=np.float64)
    return Topix(o=closes, h=closes, l=closes, c=closes)


def topix_futures(settle: FloatArray) -> SimpleNamespace:
    """One contract that never expires."""
    n = len(settle)
    null = np.full((2, n), np.nan)
    contracts = Contracts(
        sessions=weekdays(n),
        central=np.array([[True] * n, [False] * n]),
        high=null,
        low=null,
        night_close=null,
        settle=np.vstack([settle, null[:1]]),
        oi=null,
        last_day=np.full((2, n), np.datetime64("NaT", "D")),
        sq_day=np.full((2, n), np.datetime64("2099-01-01", "D")),
    )
    return SimpleNamespace(topix=contracts)


def crowd(n_codes: int, n_columns: int, n_out: int, seed: int = 0, no_trade: float = 0.0) -> Any:
    """Random stocks, one line each, with all that the families of cross-sections look at.

    Some join the universe late, some leave it early, some change sector. Number 3 is listed
    without a sector and never a member, number 5 has no sector of 17.
    """
    rng = np.random.default_rng(seed)
    shape, columns = (n_codes, n_columns), np.arange(n_columns)
    panel = market_of(random_bars(n_codes, n_columns, seed, no_trade), n_out).panel
    kind = np.arange(n_codes)[:, np.newaxis] % 10
    turn = n_columns - rng.integers(0, n_out + 20, (n_codes, 1))
    universe = np.where(kind == 1, columns >= turn, (kind != 2) | (columns < turn))
    s33 = np.broadcast_to(rng.choice(S33, (n_codes, 1)), shape).copy()
    s33[::7] = np.where(columns < n_columns - n_out // 2, s33[::7], S33[0])
    s17 = np.broadcast_to(rng.choice(S17, (n_codes, 1)), shape).copy()
    universe[3:4], s33[3:4], s17[3:4], s17[5:6] = False, np.nan, np.nan, np.nan
    steps = rng.normal(0.0, 0.01, (len(INDEX_CODES), n_columns))
    days = rng.integers(1, 12, (n_codes, n_out)).astype(np.float64)
    days[rng.random(days.shape) < 0.3] = np.nan
    return SimpleNamespace(
        panel=replace(panel, sessions=weekdays(n_columns)),
        master=SimpleNamespace(universe=universe, s33=s33, s17=s17),
        returns=panel.r,
        topix=random_topix(n_columns, seed),
        indices=IndexCloses(1000.0 * np.exp(np.cumsum(steps, axis=1))),
        schedule=SimpleNamespace(days_to_next=days),
        short_ratio=SimpleNamespace(market_share=rng.random(n_columns)),
    )


def known_of(market: Any) -> dict[str, FloatArray]:
    """Earlier columns as stored; those of other families in a plain spelling."""
    panel, n_out = market.panel, market.panel.n_out
    wanted = np.s_[:, -n_out:]
    p, universe = panel.p, market.master.universe[wanted]
    mean = sum(p[:, 19 - k : p.shape[1] - k] for k in range(20)) / 20.0
    turnover = sum(panel.tv[:, 59 - k : p.shape[1] - k] for k in range(60)) / 60.0
    values = {
        f"ret_prev_{days}d": (p[:, days:] / p[:, :-days] - 1.0)[wanted] for days in (1, 5, 20)
    }
    values["price_to_sma_20"] = p[wanted] / mean[wanted] - 1.0
    values["adv60_log"] = np.log(1.0 + turnover[wanted])
    values["log_mktcap"] = np.log(p[wanted] * (1.0 + np.arange(p.shape[0])[:, np.newaxis] % 17))
    return {name: np.where(universe, x, np.nan) for name, x in values.items()}


def assert_declared(family: ModuleType, values: dict[str, FloatArray], shape: Any) -> None:
    """Exactly the declared columns, in float64 of one shape."""
    assert set(values) == {feature.name for feature in family.FEATURES}
    assert {x.shape for x in values.values()} == {shape}
    assert {x.dtype for x in values.values()} == {np.dtype(np.float64)}


def assert_same(seen: dict[str, FloatArray], expected: dict[str, FloatArray]) -> None:
    """Bit for bit."""
    assert seen.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(seen[name], values, err_msg=name)


def part(market: Any, n_columns: int, n_out: int, rows: Any = slice(None)) -> Any:
    """The last columns and some of the stocks of a ``crowd``."""
    panel = market.panel
    lines = {
        name: getattr(panel, name)[rows, -n_columns:] for name in ("o", "h", "l", "c", "v", "va")
    }
    smaller = market_of(lines, n_out).panel
    return SimpleNamespace(
        panel=replace(smaller, sessions=panel.sessions[-n_columns:], codes=panel.codes[rows]),
        master=SimpleNamespace(
            **{name: x[rows, -n_columns:] for name, x in vars(market.master).items()}
        ),
        returns=market.returns[rows, -n_columns:],
        topix=Topix(**{name: getattr(market.topix, name)[-n_columns:] for name in "ohlc"}),
        indices=IndexCloses(market.indices.closes[:, -n_columns:]),
        schedule=SimpleNamespace(days_to_next=market.schedule.days_to_next[rows, -n_out:]),
        short_ratio=SimpleNamespace(market_share=market.short_ratio.market_share[-n_columns:]),
    )


def assert_bits_do_not_depend_on_the_arrays(
    family: ModuleType, market: Any, extra: dict[str, FloatArray] | None = None
) -> None:
    """Neither earlier columns, nor more wanted ones, nor stocks that are never members count.

    Args:
        family: with derived scope.
        market: a ``crowd``.
        extra: columns of ``known`` besides ``known_of``.
    """
    known = {**known_of(market), **(extra or {})}
    expected = family.compute(market, known)
    n_columns, n_out = market.panel.n_columns, market.panel.n_out
    members = np.flatnonzero(market.master.universe.any(axis=1))
    assert members.size < market.panel.codes.size
    for earlier, fewer, rows in ((31, 0, slice(None)), (0, 9, slice(None)), (0, 0, members)):
        wanted = n_out - fewer
        smaller = part(market, n_columns - earlier, wanted, rows)
        values = {name: x[rows, -wanted:] for name, x in known.items()}
        seen = family.compute(smaller, values)
        for name, x in expected.items():
            own = x[-wanted:] if x.ndim == 1 else x[rows, -wanted:]
            np.testing.assert_array_equal(seen[name], own, err_msg=name)
