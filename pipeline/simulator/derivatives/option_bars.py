"""Nikkei 225 options: settlement, volume and open interest of every series and date.

Series come from ``series``, volatilities from ``smile``. The only thing carried from date to
date is open interest, which moves by a part of the volume; therefore dates are run in order and
the volumes and open interest of each are kept. All other columns are made when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import (
    BoolArray,
    Columns,
    CountArray,
    DateArray,
    FloatArray,
    IntArray,
    TextArray,
    iso_dates,
)
from pipeline.simulator.derivatives.black76 import black76
from pipeline.simulator.derivatives.option_series import STRIKE_UNIT, SeriesBook
from pipeline.simulator.derivatives.volatility_surface import Surface, make_surface
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.exchange.return_factors import Factors

_MULTIPLIER = 1000  # yen per index point
_TRADED_SHARE = 0.10  # of all series on a normal date
_OFF_AUCTION_ONLY = 0.09  # of the series with volume
_EMERGENCY_MOVE, _EMERGENCY_CHANCE = 0.04, 0.004
_IV_FLOOR = 0.01
_SURFACE_NOISES = 4
_PUT, _CALL = "1", "2"
_PRICES = ("O", "H", "L", "C", "EO", "EH", "EL", "EC", "AO", "AH", "AL", "AC")


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one date before pricing: puts and calls of every strike, calls after puts.

    Attributes:
        expiry, strike: (n,).
        call, is_new: (n,).
        years: (n,) to SQ.
        surface: of the date.
        emergency: True when emergency margin was triggered.
    """

    expiry: IntArray
    strike: IntArray
    call: BoolArray
    is_new: BoolArray
    years: FloatArray
    surface: Surface
    emergency: bool


@dataclass(frozen=True, eq=False)
class _Trading:
    """Volume, auction volume and open interest after it, contracts, (n,)."""

    volume: CountArray
    auction: CountArray
    open_interest: CountArray


class OptionTape:
    """Option rows of all sessions, run in order on demand."""

    def __init__(self, seed: int, sessions: DateArray, factors: Factors, stocks: int) -> None:
        self._seed, self._sessions, self._factors = seed, sessions, factors
        self._book = SeriesBook(sessions, factors.nikkei[:, 3], stocks)
        self._trading: list[_Trading] = []
        self._lock = Lock()
        # series keys of the date before, ascending, and their open interest
        self._previous = (np.empty(0, np.int64), np.empty(0, np.int32))

    def extend(self, stop: int) -> None:
        """Make sure that the sessions before index ``stop`` are there."""
        with self._lock:
            while len(self._trading) < stop:
                self._run_session(len(self._trading))

    def rows(self, t: int) -> Columns:
        """All rows of session ``t``, sorted by Code and EmMrgnTrgDiv."""
        self.extend(t + 1)
        rows, trading = self._rows(t), self._trading[t]
        rng = self._stream("option prices", t)
        theo, iv = _theoretical(rows, rows.surface)
        settle = np.maximum(on_option_tick(theo), 1.0)
        prices = _traded_prices(rng, settle, trading, rows.is_new)
        average = np.where(trading.auction > 0, (prices["H"] + prices["L"]) / 2, settle)
        columns = self._columns(t, rows, trading, prices)
        columns["Va"] = trading.volume * np.rint(average) * _MULTIPLIER
        columns |= {"Settle": settle, "Theo": theo, "IV": iv}
        order = np.argsort(columns["Code"].astype("U9"), kind="stable")
        if not rows.emergency:
            return {name: values[order] for name, values in columns.items()}
        return _with_trigger_rows(columns, rows, np.repeat(order, 2))

    def emergency(self, t: int) -> bool:
        """Whether emergency margin was triggered: a violent day, and rarely another."""
        close, before = self._factors.nikkei[t, 3], self._factors.nikkei[max(t - 1, 0), 3]
        violent = abs(float(np.log(close / before))) > _EMERGENCY_MOVE
        noise = self._stream("option surface", t)
        noise.standard_normal(_SURFACE_NOISES)  # these are the surface's
        return violent or float(noise.random()) < _EMERGENCY_CHANCE

    # -- running forward ---------------------------------------------------------------------

    def _run_session(self, t: int) -> None:
        rows = self._rows(t)
        key = _series_key(rows)
        known, held = self._previous
        place = np.minimum(np.searchsorted(known, key), max(known.size - 1, 0))
        found = known[place] == key if known.size else np.zeros(key.size, dtype=np.bool_)
        before = np.where(found, held[place] if known.size else 0, 0)
        rng = self._stream("option volume", t)
        if t == 0:
            before = _first_interest(rng, rows)
        trading = _trade(rng, rows, before)
        self._trading.append(trading)
        order = np.argsort(key)
        self._previous = key[order], trading.open_interest[order]

    def _rows(self, t: int) -> _Rows:
        series = self._book.on(t)
        noise = self._stream("option surface", t)
        spot = float(self._factors.nikkei[t, 3])
        surface = make_surface(
            spot, self._factors.market_variance[t], noise.standard_normal(_SURFACE_NOISES)
        )
        sq = np.array([e.sq for e in self._book.expiries], dtype="datetime64[D]")
        days = (sq[series.expiry] - self._sessions[t]).astype(np.float64)
        return _Rows(
            expiry=np.tile(series.expiry, 2),
            strike=np.tile(series.strike, 2),
            call=np.repeat([False, True], series.strike.size),
            is_new=np.tile(series.is_new, 2),
            years=np.tile(days / 365, 2),
            surface=surface,
            emergency=self.emergency(t),
        )

    def _stream(self, purpose: str, t: int) -> np.random.Generator:
        return stream(self._seed, purpose, int(self._sessions[t].astype(np.int64)))

    # -- columns -----------------------------------------------------------------------------

    def _columns(
        self, t: int, rows: _Rows, trading: _Trading, prices: dict[str, FloatArray]
    ) -> Columns:
        """Every field in the order of the API; Va, Settle, Theo and IV are placeholders."""
        expiries = self._book.expiries
        month = np.array([str(e.month) for e in expiries], dtype=object)[rows.expiry]
        last_day = iso_dates(np.array([e.last_trading_day for e in expiries]))[rows.expiry]
        sq = iso_dates(np.array([e.sq for e in expiries]))[rows.expiry]
        n = rows.strike.size
        later = np.zeros(n)
        surface = rows.surface
        nearest = np.array([rows.years.min()])
        return {
            "Date": np.full(n, str(self._sessions[t]), dtype=object),
            "Code": _codes(rows, month),
            **prices,
            "Vo": trading.volume.astype(np.float64),
            "OI": trading.open_interest.astype(np.float64),
            "Va": later,
            "CM": month,
            "Strike": rows.strike.astype(np.float64),
            "VoOA": trading.auction.astype(np.float64),
            "EmMrgnTrgDiv": np.full(n, "002", dtype=object),
            "PCDiv": np.where(rows.call, _CALL, _PUT).astype(object),
            "LTD": last_day,
            "SQD": sq,
            "Settle": later,
            "Theo": later,
            "BaseVol": np.full(n, round(100 * float(surface.at_the_money(nearest)[0]), 4)),
            "UnderPx": np.full(n, surface.spot),
            "IV": later,
            "IR": np.round(100 * surface.rate(rows.years), 4),
        }


def on_option_tick(price: FloatArray) -> FloatArray:
    """Nearest valid premium: steps of 1 up to 100, of 5 above."""
    tick = np.where(price <= 100, 1.0, 5.0)
    return np.round(price / tick) * tick


def _theoretical(rows: _Rows, surface: Surface) -> tuple[FloatArray, FloatArray]:
    """Theoretical price (four decimals) and implied volatility in percent.

    Where the time value is below half a tick no volatility can be read from the settlement; the
    exchange then shows 1.0, and so do we, with the price at that volatility.
    """
    strike, years = rows.strike.astype(np.float64), rows.years
    forward, rate = surface.forward(years), surface.rate(years)
    vol = np.round(surface.implied(strike, years), 6)
    price = black76(forward, strike, years, rate, vol, rows.call)
    floor = np.full(vol.size, _IV_FLOOR)
    intrinsic = black76(forward, strike, years, rate, floor, rows.call)
    worthless = (price - intrinsic < 0.5) & (intrinsic > 100)
    vol = np.where(worthless, _IV_FLOOR, vol)
    price = np.where(worthless, intrinsic, price)
    return np.round(price, 4), np.round(100 * vol, 4)


def _series_key(rows: _Rows) -> IntArray:
    key: IntArray = (rows.expiry * 10_000 + rows.strike // STRIKE_UNIT) * 2 + rows.call
    return key


def _popularity(rows: _Rows) -> FloatArray:
    """Relative trading interest: near months, slightly out of the money, round strikes."""
    distance = np.log(rows.strike / rows.surface.spot) / (0.2 * np.sqrt(rows.years + 0.02))
    outside = np.where(rows.call, distance, -distance)
    shape = np.exp(-((outside - 0.4) ** 2) / np.where(outside > 0.4, 3.0, 0.4))
    round_strike = np.where(rows.strike % 500 == 0, 1.6, np.where(rows.strike % 250 == 0, 1.0, 0.5))
    popularity: FloatArray = shape * round_strike * np.exp(-rows.years / 0.12)
    return popularity


def _first_interest(rng: np.random.Generator, rows: _Rows) -> CountArray:
    """Open interest left from the time before the market's first day."""
    expected = 2500 * _popularity(rows) + 2
    interest = rng.poisson(expected * rng.lognormal(0.0, 0.8, expected.size))
    idle = rng.random(expected.size) < 0.3
    return np.where(idle, 0, interest).astype(np.int32)


def _trade(rng: np.random.Generator, rows: _Rows, before: CountArray) -> _Trading:
    """Volume by popularity; open interest moves by less than the volume, never below zero."""
    popularity = _popularity(rows)
    scale = _TRADED_SHARE / max(float(np.minimum(popularity * 3, 1).mean()), 1e-9)
    chance = np.minimum(popularity * 3 * scale, 0.97)
    traded = rng.random(chance.size) < chance
    size = np.exp(rng.normal(1.2, 1.2, chance.size)) * (1 + 200 * popularity)
    volume = np.where(traded, np.maximum(np.rint(size), 1), 0).astype(np.int64)
    off_auction = rng.random(chance.size) < _OFF_AUCTION_ONLY
    auction = np.where(off_auction, 0, np.ceil(volume * rng.uniform(0.8, 1.0, chance.size)))
    drift = rng.uniform(-0.5, 0.65, chance.size)
    after = np.maximum(before + np.rint(volume * drift).astype(np.int64), 0)
    counts = (x.astype(np.int32) for x in (volume, auction, after))
    return _Trading(*counts)


def _traded_prices(
    rng: np.random.Generator, settle: FloatArray, trading: _Trading, is_new: BoolArray
) -> dict[str, FloatArray]:
    """Whole-day, night and day session prices; 0.0 without a trade, NaN where no session was."""
    n = settle.size
    steps = rng.normal(0.0, 0.06, (4, n)).cumsum(axis=0)
    points = np.maximum(on_option_tick(settle * np.exp(steps)), 1.0)
    both = trading.auction > 1
    by_night = (trading.auction > 0) & ~is_new & (both | (rng.random(n) < 0.3))
    by_day = (trading.auction > 0) & (both | ~by_night)
    night = _session(points[0], points[1], by_night)
    day = _session(points[2], points[3], by_day)
    whole = [
        np.where(by_night, night[0], day[0]),
        np.maximum(night[1], day[1]),
        np.where(by_night & by_day, np.minimum(night[2], day[2]), night[2] + day[2]),
        np.where(by_day, day[3], night[3]),
    ]
    night = [np.where(is_new, np.nan, price) for price in night]
    return dict(zip(_PRICES, [*whole, *night, *day], strict=True))


def _session(first: FloatArray, last: FloatArray, traded: BoolArray) -> list[FloatArray]:
    bars = (first, np.maximum(first, last), np.minimum(first, last), last)
    return [np.where(traded, price, 0.0) for price in bars]


def _codes(rows: _Rows, month: TextArray) -> TextArray:
    """13 or 18 for puts, 14 or 19 for calls, last digit of the year, month, strike number.

    The second prefix of each pair is for strikes off the 250 grid.
    """
    fine = rows.strike % 250 != 0
    prefix = np.where(rows.call, np.where(fine, "19", "14"), np.where(fine, "18", "13"))
    numbers = (rows.strike // STRIKE_UNIT).tolist()
    parts = zip(prefix.tolist(), month.tolist(), numbers, strict=True)
    return np.array([f"{p}{m[3]}{m[5:7]}{k:04d}" for p, m, k in parts], dtype=object)


def _with_trigger_rows(columns: Columns, rows: _Rows, order: IntArray) -> Columns:
    """Every row twice: 001, priced when emergency margin was triggered, before 002."""
    nervous = replace(rows.surface, short_vol=rows.surface.short_vol * 1.15)
    theo, iv = _theoretical(rows, nervous)
    at_trigger = {"Settle": np.maximum(on_option_tick(theo), 1.0), "Theo": theo, "IV": iv}
    first = np.arange(order.size) % 2 == 0
    doubled = {name: values[order] for name, values in columns.items()}
    for name, values in at_trigger.items():
        doubled[name] = np.where(first, values[order], doubled[name])
    doubled["EmMrgnTrgDiv"] = np.where(first, "001", "002").astype(object)
    return doubled
