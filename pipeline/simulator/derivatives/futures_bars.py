"""Futures bars: every contract follows its underlying at a cost of carry and a basis of chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import joined
from pipeline.simulator.derivatives.futures_contracts import (
    PRODUCTS,
    Contract,
    first_sessions,
    listed_contracts,
)
from pipeline.simulator.exchange.index_bars import ROWS
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, Columns, DateArray, FloatArray
    from pipeline.simulator.synthetic_market import Market

LATE_FIELDS_SINCE = np.datetime64("2016-07-19")
_ROLL_SESSIONS = 3  # the central contract month changes so many days before the last one
_CARRY = 0.006  # per year, rate less dividends
_NIGHT_SHARE = 0.85  # of the move from close to open that the night session has seen
_WIDTH = 12  # most contracts of one product
_WAVE_SESSIONS = 8
_BASIS, _QUIET_VOL = 0.0004, 0.004
# What nothing else in the market knows: first level, standard deviation of a day's log return.
_WALKS: Final = {"dow": (36_000.0, 0.008), "bond": (145.0, 0.0016), "rate": (99.8, 0.00005)}


def futures(market: Market, sessions: range) -> Columns:
    """Rows of ``/derivatives/bars/daily/futures``, sorted by Code and EmMrgnTrgDiv."""
    return joined([_session(market, t) for t in sessions], _session(market, 0))


def make_walks(seed: int, sessions: DateArray) -> FloatArray:
    """Standard random walks of the levels in ``_WALKS``: (sessions, walks)."""
    steps = [
        stream(seed, "walks", int(day.astype(np.int64))).standard_normal(len(_WALKS))
        for day in sessions
    ]
    walks: FloatArray = np.cumsum(steps, axis=0)
    return walks


def _session(market: Market, t: int) -> Columns:
    day = market.universe.sessions[t]
    yesterday = market.universe.sessions[t - 1] if t else None
    rng = stream(market.spec.seed, "futures", int(day.astype(np.int64)))
    parts = []
    for product, wave in zip(PRODUCTS, _waves(market, t).tolist(), strict=True):
        normal, uniform = rng.standard_normal((8, _WIDTH)), rng.random(_WIDTH)
        contracts = listed_contracts(product, day)
        if not contracts:
            continue
        before = () if yesterday is None else listed_contracts(product, yesterday)
        parts.append(
            _product(market, t, wave, contracts, first_sessions(contracts, before), normal, uniform)
        )
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(rows["Code"].astype("U9"), kind="stable")
    if not market.options.emergency(t):
        return {name: values[order] for name, values in rows.items()}
    # Emergency margin was triggered: a row of that moment, 001, before the row of the close.
    doubled = {name: values[np.repeat(order, 2)] for name, values in rows.items()}
    first = np.arange(2 * order.size) % 2 == 0
    doubled["EmMrgnTrgDiv"] = np.where(first, "001", "002").astype(object)
    doubled["Settle"] = np.where(first, np.round(doubled["Settle"] * 0.995, 4), doubled["Settle"])
    return doubled


def _product(
    market: Market,
    t: int,
    wave: float,
    contracts: tuple[Contract, ...],
    is_new: BoolArray,
    normal: FloatArray,
    uniform: FloatArray,
) -> Columns:
    product, day = contracts[0].product, market.universe.sessions[t]
    n = len(contracts)
    noise = normal[:, :n]
    close_before, opening, close = _underlying(market, t, product.underlying) * product.scale
    years = np.array([(c.sq - day).astype(float) for c in contracts]) / 365
    carry = np.exp(_CARRY * years)
    basis = 1 + _BASIS * noise[0]
    settle = on_tick(close * carry * basis, product.tick)
    night_open = close_before * carry * (1 + _BASIS * noise[1])
    night_close = night_open * (opening / close_before) ** _NIGHT_SHARE * (1 + _BASIS * noise[2])
    day_open = opening * carry * (1 + _BASIS * noise[3])
    reach = _QUIET_VOL * np.abs(noise[4:8])
    popularity = _popularity(contracts, day)
    interest = np.rint(product.interest * popularity * np.exp(0.15 * wave))
    volume = np.rint(interest * 0.25 * np.exp(0.4 * noise[5]))
    traded = volume >= 1
    by_night = traded & ~is_new & (uniform[:n] < np.minimum(1.0, volume / 20 + 0.2))
    night = _bar(night_open, night_close, reach[:2], by_night, product.tick)
    whole_day = _bar(day_open, settle, reach[2:], traded, product.tick)
    told = day >= LATE_FIELDS_SINCE
    auction = np.ceil(volume * 0.97)
    central = _central(contracts, day)
    late = {
        "VoOA": auction if told else np.full(n, np.nan),
        "LTD": _texts([str(c.last_day) for c in contracts], told=told),
        "SQD": _texts([str(c.sq) for c in contracts], told=told),
        "Settle": settle if told else np.full(n, np.nan),
        "CCMFlag": _texts(["1" if i == central else "0" for i in range(n)], told=told),
    }
    columns: Columns = {
        "Code": np.array([c.code for c in contracts], dtype=object),
        "ProdCat": np.full(n, product.category, dtype=object),
        "Date": iso_dates(np.full(n, day)),
        **_prices("", _joined_bar(night, whole_day, by_night)),
        **_prices("M", np.full((4, n), np.nan)),
        **_prices("E", np.where(is_new, np.nan, night)),
        **_prices("A", whole_day),
        "Vo": volume,
        "OI": interest,
        "Va": np.rint(volume * settle * product.multiplier),
        "CM": np.array([str(c.month) for c in contracts], dtype=object),
        "VoOA": late["VoOA"],
        "EmMrgnTrgDiv": np.full(n, "002", dtype=object),
    }
    return columns | {name: late[name] for name in ("LTD", "SQD", "Settle", "CCMFlag")}


def on_tick(price: FloatArray, tick: float) -> FloatArray:
    """The nearest valid price."""
    rounded: FloatArray = np.round(np.round(price / tick) * tick, 4)
    return rounded


def _underlying(market: Market, t: int, name: str) -> FloatArray:
    """Close before, open and close of what a product follows."""
    before = max(t - 1, 0)
    if name in ("topix", "nikkei"):
        bars = getattr(market.factors, name)
        return np.array([bars[before, 3], bars[t, 0], bars[t, 3]])
    if name in ("growth", "reit"):
        row = ROWS["0070" if name == "growth" else "0075"]
        market.indices().extend(t + 1)
        bars = market.indices().bars
        return np.array([bars[before, row, 3], bars[t, row, 0], bars[t, row, 3]])
    close_before, close = _own_level(market, before, name), _own_level(market, t, name)
    return np.array([close_before, 0.4 * close_before + 0.6 * close, close])


def _own_level(market: Market, t: int, name: str) -> float:
    """Level of what is no index of the market."""
    variance = float(market.factors.market_variance[t])
    if name == "volatility":
        return 100 * float(np.sqrt(variance * 252)) * 1.2 + 1.5
    nikkei = float(market.factors.nikkei[t, 3])
    if name == "dividends":
        return 0.018 * nikkei
    start, daily = _WALKS[name]
    return start * float(np.exp(daily * market.walks()[t, list(_WALKS).index(name)]))


def _popularity(contracts: tuple[Contract, ...], day: np.datetime64) -> FloatArray:
    """1 for the central contract, less for the others; falls in the last days."""
    central = _central(contracts, day)
    distance = np.abs(np.arange(len(contracts)) - central)
    popularity: FloatArray = np.exp(-1.9 * distance)
    if len(contracts) > 4:
        popularity[4:] *= 0.002  # the farthest hardly trade
    return popularity


def _central(contracts: tuple[Contract, ...], day: np.datetime64) -> int:
    """The nearest contract until a few days before its end, then the next."""
    left = int(np.busday_count(day, contracts[0].last_day))
    return 1 if left < _ROLL_SESSIONS and len(contracts) > 1 else 0


def _waves(market: Market, t: int) -> FloatArray:
    """A slow noise about normal per product."""
    first = max(t - _WAVE_SESSIONS + 1, 0)
    draws = [
        stream(
            market.spec.seed, "interest", int(market.universe.sessions[u].astype(np.int64))
        ).standard_normal(len(PRODUCTS))
        for u in range(first, t + 1)
    ]
    waves: FloatArray = np.sum(draws, axis=0) / np.sqrt(_WAVE_SESSIONS)
    return waves


def _bar(
    first: FloatArray, last: FloatArray, reach: FloatArray, traded: BoolArray, tick: float
) -> FloatArray:
    """Open, high, low, close on ticks, (4, n); 0 where nothing traded."""
    high = np.maximum(first, last) * (1 + reach[0])
    low = np.minimum(first, last) * (1 - reach[1])
    bar = on_tick(np.stack([first, high, low, last]), tick)
    return np.where(traded, bar, 0.0)


def _joined_bar(night: FloatArray, day: FloatArray, by_night: BoolArray) -> FloatArray:
    """The whole date: it begins with the night session and ends with the day session."""
    high, low = np.maximum(night[1], day[1]), np.minimum(night[2], day[2])
    both = np.stack([night[0], high, low, day[3]])
    joined_bar: FloatArray = np.where(by_night, both, day)
    return joined_bar


def _prices(prefix: str, bar: FloatArray) -> Columns:
    return {prefix + name: values for name, values in zip("OHLC", bar, strict=True)}


def _texts(values: list[str], *, told: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    return np.array(values if told else [None] * len(values), dtype=object)
