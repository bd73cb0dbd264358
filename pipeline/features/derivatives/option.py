"""Family option: the Nikkei 225 option market, one value per date.

Volatilities come from ``features.smile``; this module adds their history, and what open interest
and turnover say (contracts whose SQ day is still to come).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.derivatives.smile import MIN_DAYS, at_horizon, closest, expiry_smiles
from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import (
    AFTER_NIGHT,
    BoolArray,
    Feature,
    FloatArray,
    Scope,
)
from pipeline.features.engine.order_statistics import window_rank
from pipeline.market.calendar.sessions import DateArray
from pipeline.market.derivatives.option_quotes import OptionQuotes
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_YEAR = 252.0  # trading days by which a variance is annualised
_REALIZED_WINDOW = 20
_RANK_WINDOW = 250
_RANK_MIN_COUNT = 125
_FAR_PUT = 0.9  # share of the index below which a put is far out of the money

_TO_30_DAYS = (
    "interpolated to 30 calendar days in total variance: w=((d2-30)*w1+(30-d1)*w2)/(d2-d1), "
    "w_i=sigma_i^2*d_i/365, sigma=sqrt(w*365/30); expiries with d>=7, d1 = largest d<=30, "
    "d2 = smallest d>30; flat if one side is missing;"
)

_feature = partial(
    Feature,
    family="option",
    inputs="drv-bars-daily-opt-225.Date,Strike,PCDiv,SQD,IV,IR,Settle,OI,Vo,Va,UnderPx,EmMrgnTrgDiv",
    lookback=0,
    available=AFTER_NIGHT,
    dtype="float32",
    null_rule="no valid smile (see features.md) on T",
)


def _put_call_ratio(name: str, field: str) -> Feature:
    return _feature(
        name=name,
        formula=(
            f"ln((sum of {field} over puts + 1)/(sum of {field} over calls + 1)), all "
            "expiries with SQD>T, '002' records."
        ),
        unit="log ratio",
        null_rule="no option file on T",
        check="pandas",
    )


FEATURES: tuple[Feature, ...] = (
    _feature(
        name="opt_iv_atm_near",
        formula=(
            "ATM-forward IV of the nearest expiry with d>=7 calendar days to SQD: linear "
            "interpolation at x=ln(K/F)=0 between the adjacent out-of-the-money quotes (put for "
            "K<F, call for K>=F), both within |x|<=0.1; IV/100"
        ),
        unit="annualised vol",
        check="hand; brute force on one day",
    ),
    _feature(
        name="opt_iv_atm_30d",
        formula=f"ATM-forward IV per expiry as in opt_iv_atm_near, {_TO_30_DAYS}",
        unit="annualised vol",
        check="hand",
    ),
    _feature(
        name="opt_iv_ts_slope_30_90",
        formula=(
            "ATM IV interpolated to 90 days minus opt_iv_atm_30d, same interpolation with 90 in "
            "place of 30"
        ),
        unit="vol points",
        check="hand",
    ),
    _feature(
        name="opt_skew25_30d",
        formula=(
            "s_p - s_c: IV at put forward delta -0.25 minus IV at call forward delta "
            "+0.25 (Black-76, N(d1)-1 and N(d1) with each strike's own IV, linear "
            "interpolation of IV in delta on the OTM side, bracket required), each wing "
            f"{_TO_30_DAYS}"
        ),
        unit="vol points",
        check="py_vollib black delta",
    ),
    _feature(
        name="opt_bfly25_30d",
        formula="(s_p+s_c)/2 - opt_iv_atm_30d with the wings of opt_skew25_30d",
        unit="vol points",
        check="py_vollib black delta",
    ),
    _feature(
        name="opt_smile_slope",
        formula=(
            "b1 of the OLS sigma = b0+b1*y+b2*y^2 over OTM quotes of the expiry with the smallest "
            "|d-30|, d>=7 (tie: shorter), y=x/(sigma_atm*sqrt(d/365)), |y|<=1.5, at least 6 "
            "points, equal weights"
        ),
        unit="vol per sd",
        check="numpy polyfit",
    ),
    _feature(
        name="opt_smile_curv",
        formula="b2 of the same OLS as opt_smile_slope",
        unit="vol per sd^2",
        check="numpy polyfit",
    ),
    _feature(
        name="opt_mfiv_30d",
        formula=(
            "model-free IV: per expiry s2=(2/tau)*sum(dK/K^2*e^(r*tau)*Q(K))-(F/K0-1)^2/tau, "
            "tau=d/365, K0 = largest strike <= F, Q = OTM Settle (average of put and call at K0), "
            "strikes with Settle>=1, dK = half the distance of the neighbours (one-sided at the "
            f"ends); {_TO_30_DAYS}"
        ),
        unit="annualised vol",
        check="CBOE white-paper replication",
    ),
    _put_call_ratio("opt_pc_oi_ratio", "OI"),
    _put_call_ratio("opt_pc_volume_ratio", "Vo"),
    _put_call_ratio("opt_pc_turnover_ratio", "Va"),
    _feature(
        name="opt_oi_chg_1d",
        formula="sum(OI_T)/sum(OI_(T-1))-1 over contracts with SQD>T on both dates",
        lookback=1,
        unit="ratio",
        null_rule="no option file on T or T-1",
        check="pandas",
    ),
    _feature(
        name="opt_vrp_30d",
        formula=(
            "opt_iv_atm_30d^2 - RV, RV = 252*mean(ln(N_u/N_(u-1))^2, u in [T-19..T]), N ="
            " UnderPx. Same underlying on both sides"
        ),
        lookback=_REALIZED_WINDOW,
        unit="variance",
        null_rule="no valid smile (see features.md) on T or short history",
        check="hand",
    ),
    _feature(
        name="opt_iv_30d_pct_250",
        formula=(
            "(k-1)/(n-1), k = average-tie ascending rank of opt_iv_atm_30d_T among its non-null "
            f"values in [T-{_RANK_WINDOW - 1}..T], n>={_RANK_MIN_COUNT}"
        ),
        lookback=_RANK_WINDOW - 1,
        unit="share",
        null_rule="no valid smile (see features.md) on T or short history",
        check="pandas rank",
    ),
    _feature(
        name="opt_days_to_sq",
        formula="calendar days from T to the nearest SQD>T of the option file",
        dtype="int16",
        unit="calendar days",
        null_rule="no option file on T",
        check="hand",
    ),
    _feature(
        name="opt_oi_strike_dist",
        formula=(
            "sum(OI*Strike)/sum(OI)/N_T-1 over all contracts with SQD>T, puts and calls together"
        ),
        unit="ratio",
        null_rule="no open interest",
        check="hand",
    ),
    _feature(
        name="opt_max_pain_dist",
        formula=(
            "K*/N_T-1, nearest expiry with SQD>T, K* = listed strike minimising "
            "sum_calls OI*max(0,K-Kc)+sum_puts OI*max(0,Kp-K); ties take the lowest strike"
        ),
        unit="ratio",
        null_rule="no open interest",
        check="brute force",
    ),
    _feature(
        name="opt_otm_put_oi_share",
        formula=f"OI of puts with Strike<{_FAR_PUT}*N_T divided by OI of all puts, SQD>T",
        unit="share",
        null_rule="no put open interest",
        check="pandas",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (n_out,) each."""
    panel, quotes = market.panel, market.options
    return {
        **_volatilities(quotes, panel.n_out),
        **_positions(quotes, panel.sessions, panel.n_out),
    }


def _volatilities(quotes: OptionQuotes, n_out: int) -> dict[str, FloatArray]:
    n_columns = quotes.underlying.size
    first = max(0, n_columns - n_out - (_RANK_WINDOW - 1))
    smiles = expiry_smiles(quotes, first, n_columns)
    iv_30d = at_horizon(smiles, smiles.atm, 30.0)
    put25 = at_horizon(smiles, smiles.put25, 30.0)
    call25 = at_horizon(smiles, smiles.call25, 30.0)
    every_day = {
        "opt_iv_atm_near": closest(smiles, smiles.atm, MIN_DAYS),
        "opt_iv_atm_30d": iv_30d,
        "opt_iv_ts_slope_30_90": at_horizon(smiles, smiles.atm, 90.0) - iv_30d,
        "opt_skew25_30d": put25 - call25,
        "opt_bfly25_30d": (put25 + call25) / 2.0 - iv_30d,
        "opt_smile_slope": closest(smiles, smiles.slope, 30.0),
        "opt_smile_curv": closest(smiles, smiles.curvature, 30.0),
        "opt_mfiv_30d": at_horizon(smiles, smiles.model_free, 30.0),
    }
    wanted = {name: values[-n_out:] for name, values in every_day.items()}
    realized = _realized_variance(quotes.underlying, n_out)
    wanted["opt_vrp_30d"] = wanted["opt_iv_atm_30d"] ** 2 - realized
    wanted["opt_iv_30d_pct_250"] = _share_below(iv_30d, n_out)
    return wanted


def _realized_variance(underlying: FloatArray, n_out: int) -> FloatArray:
    """Annualised mean square of the last 20 log returns, (n_out,); NaN unless all are there."""
    squares = np.full((1, underlying.size), np.nan)
    squares[0, 1:] = np.log(underlying[1:] / underlying[:-1]) ** 2
    mean = window_kernels.window_mean(squares, _REALIZED_WINDOW, _REALIZED_WINDOW, n_out)
    realized: FloatArray = _YEAR * mean[0]
    return realized


def _share_below(values: FloatArray, n_out: int) -> FloatArray:
    """Rank among the last 250 columns, from 0 to 1, (n_out,); NaN below 125 values."""
    series = values[np.newaxis]
    rank = window_rank(series, _RANK_WINDOW, _RANK_MIN_COUNT, n_out)
    count = window_kernels.window_count(series, _RANK_WINDOW, n_out)
    share: FloatArray = ((rank - 1.0) / (count - 1.0))[0]
    return share


def _positions(quotes: OptionQuotes, sessions: DateArray, n_out: int) -> dict[str, FloatArray]:
    """What is held and traded, day by day; NaN on days without a file."""
    result = {name: np.full(n_out, np.nan) for name in _POSITIONS}
    for day in range(n_out):
        column = sessions.size - n_out + day
        if not _has_file(quotes, column):
            continue
        book = _book(quotes, column)
        for name, measure in _POSITIONS.items():
            result[name][day] = measure(book)
    return {**result, "opt_oi_chg_1d": _open_interest_change(quotes, sessions, n_out)}


@dataclass(frozen=True, eq=False)
class _Book:
    """The contracts of one day whose SQ day is still to come, (contracts,) each.

    Sorted by expiry; missing amounts are 0. ``underlying`` is NaN where the file has none.
    """

    underlying: float
    days: NDArray[np.int32]
    strike: FloatArray
    is_call: BoolArray
    oi: FloatArray
    volume: FloatArray
    turnover: FloatArray

    @property
    def puts(self) -> BoolArray:
        return ~self.is_call


def _book(quotes: OptionQuotes, column: int) -> _Book:
    at = quotes.of(column)
    live = quotes.days[at] > 0
    return _Book(
        underlying=float(quotes.underlying[column]),
        days=quotes.days[at][live],
        strike=quotes.strike[at][live],
        is_call=quotes.is_call[at][live],
        oi=np.nan_to_num(quotes.oi[at][live]),
        volume=np.nan_to_num(quotes.volume[at][live]),
        turnover=np.nan_to_num(quotes.turnover[at][live]),
    )


def _has_file(quotes: OptionQuotes, column: int) -> bool:
    return bool(quotes.offsets[column + 1] > quotes.offsets[column])


def _log_ratio(book: _Book, amount: FloatArray) -> float:
    puts, calls = float(amount[book.puts].sum()), float(amount[book.is_call].sum())
    return math.log((puts + 1.0) / (calls + 1.0))


def _days_to_sq(book: _Book) -> float:
    return float(book.days[0]) if book.days.size else math.nan


def _mean_strike_distance(book: _Book) -> float:
    total = float(book.oi.sum())
    if total == 0.0:
        return math.nan
    return float((book.oi * book.strike).sum()) / total / book.underlying - 1.0


def _max_pain_distance(book: _Book) -> float:
    """Strike at which the holders of the nearest expiry get least, against the index."""
    near = book.days == _days_to_sq(book)
    strike, oi, is_call = book.strike[near], book.oi[near], book.is_call[near]
    if oi.sum() == 0.0:
        return math.nan
    gain = strike[:, np.newaxis] - strike  # of a call struck at [column] if settled at [row]
    payout = (np.maximum(np.where(is_call, gain, -gain), 0.0) * oi).sum(axis=1)
    # strikes ascend and argmin takes the first of equals
    return float(strike[np.argmin(payout)]) / book.underlying - 1.0


def _far_put_share(book: _Book) -> float:
    total = float(book.oi[book.puts].sum())
    if total == 0.0 or math.isnan(book.underlying):
        return math.nan
    far = book.puts & (book.strike < _FAR_PUT * book.underlying)
    return float(book.oi[far].sum()) / total


_POSITIONS: Mapping[str, Callable[[_Book], float]] = {
    "opt_pc_oi_ratio": lambda book: _log_ratio(book, book.oi),
    "opt_pc_volume_ratio": lambda book: _log_ratio(book, book.volume),
    "opt_pc_turnover_ratio": lambda book: _log_ratio(book, book.turnover),
    "opt_days_to_sq": _days_to_sq,
    "opt_oi_strike_dist": _mean_strike_distance,
    "opt_max_pain_dist": _max_pain_distance,
    "opt_otm_put_oi_share": _far_put_share,
}


def _open_interest_change(quotes: OptionQuotes, sessions: DateArray, n_out: int) -> FloatArray:
    """Change of the open interest of contracts that outlive T, (n_out,).

    NaN without a file on T and the column before, or without open interest there.
    """
    change = np.full(n_out, np.nan)
    for column in range(max(1, sessions.size - n_out), sessions.size):
        if not (_has_file(quotes, column) and _has_file(quotes, column - 1)):
            continue
        elapsed = int((sessions[column] - sessions[column - 1]) / np.timedelta64(1, "D"))
        before = _open_interest(quotes, column - 1, elapsed)
        if before != 0.0:
            now = _open_interest(quotes, column, 0)
            change[column - sessions.size + n_out] = now / before - 1.0
    return change


def _open_interest(quotes: OptionQuotes, column: int, days: int) -> float:
    """Contracts of a column whose SQ day lies more than ``days`` calendar days after it."""
    at = quotes.of(column)
    return float(np.nansum(quotes.oi[at][quotes.days[at] > days]))
