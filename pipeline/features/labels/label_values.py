"""Labels: what became of the stock after T. Never an input, and never a column of a chunk.

They are declared like features, and computed from arrays that no feature can reach
(``market.outcomes``). They are no family: nothing here has the form the catalogue takes, and
every column of their schema carries the role "label", which the gate refuses in a chunk.

A label is null until its exit column has come, or a later one in which anything was traded; from
then on it never changes: it reads no column after its exit, and multiplies the split factors from
the entry on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.features.engine.catalogue import CODE, DATE, ROLE
from pipeline.features.engine.column_spec import BARS, FloatArray
from pipeline.features.engine.group_statistics import group_mean, group_pct, groups_of, whole
from pipeline.features.engine.window_kernels import ratio, simple_change
from pipeline.market.jit import jit
from pipeline.market.panel.outcomes import Outcomes
from pipeline.market.panel.price_panel import SAME_PRICE

HORIZONS = (1, 2, 5, 10, 20)
VOLATILITY = "realized_vol_20d"  # the feature by which labels are scaled

_ARROW = {"float32": pa.float32()}
_YEAR = 252.0
_LEAST_VOLATILITY = 0.01
_RANKED = 20  # values a rank takes
_SECTOR_MEMBERS = 5  # values a mean of a sector takes

_NOT_TRADABLE = "entry not tradable, or no trade between entry and exit"
_NEVER_AN_INPUT = "never a model input"


@dataclass(frozen=True)
class Label:
    """One label of the catalogue: the attributes of a feature, and how far it looks ahead.

    A type of its own on purpose: where a feature is wanted, a label does not do.

    Attributes:
        name, formula, inputs, lookback, available, dtype, unit, null_rule, check: as of a feature.
        ahead: columns after T up to its exit.
    """

    name: str
    formula: str
    inputs: str
    lookback: int
    available: str
    dtype: Literal["float32"]
    unit: str
    null_rule: str
    check: str
    ahead: int


_label = partial(Label, inputs=BARS, lookback=0, dtype="float32", unit="ratio", check="hand",
                 null_rule=_NOT_TRADABLE)  # fmt: skip


def _until(ahead: int, formula: str, **others: Any) -> Label:
    """A label that reads columns up to T + ``ahead``, which its texts say."""
    return _label(
        formula=f"{formula}. Uses columns up to T+{ahead}; {_NEVER_AN_INPUT}",
        available=f"T+{ahead} 16:30 JST; LABEL, excluded from every feature matrix",
        ahead=ahead,
        **others,
    )


def _close_to_close(h: int) -> Label:
    return _until(
        h,
        f"p*_(T+{h})/c_T-1; c_T = traded close of T, p* = adjusted close of the last traded column "
        f"in [T+1..T+{h}] (no staleness limit, delisted codes keep their last trade), price return "
        "without dividends",
        name=f"label_ret_cc_{h}d",
        check=f"pandas shift(-{h}) on gap-free data",
    )


def _open_to_open(h: int) -> Label:
    return _until(
        1 + h,
        "x/o_(T+1)-1; entry at the open of T+1 (null if T+1 has no trade); "
        f"x = o_(T+1+{h}) if that column is traded, else the adjusted close of the last traded "
        f"column in [T+1..T+{h}]",
        name=f"label_ret_oo_{h}d",
        check=f"pandas o.shift(-{1 + h})/o.shift(-1)-1 on gap-free data",
    )


def _log(kind: str, h: int, ahead: int) -> Label:
    return _until(
        ahead,
        f"ln(1+label_ret_{kind}_{h}d)",
        name=f"label_logret_{kind}_{h}d",
        unit="log return",
        check="numpy log1p",
    )


def _vol_scaled(h: int) -> Label:
    return _until(
        1 + h,
        f"label_ret_oo_{h}d/({VOLATILITY}_T*sqrt({h}/252)), volatility known at T; "
        "null if the volatility is below 0.01",
        name=f"label_ret_oo_{h}d_volscaled",
        lookback=20,
        unit="z",
        null_rule=f"{_NOT_TRADABLE}, or volatility null or below 0.01",
    )


def _rank(h: int) -> Label:
    return _until(
        1 + h,
        f"(k-1)/(n-1), k = average-tie ascending rank of label_ret_oo_{h}d among the n universe "
        "stocks of T with a non-null value, n>=20",
        name=f"label_ret_oo_{h}d_rank",
        unit="share 0-1",
        check="pandas rank",
    )


def _market_relative(h: int) -> Label:
    return _until(
        1 + h,
        f"label_ret_oo_{h}d - (O_(T+1+{h})/O_(T+1)-1) of TOPIX",
        name=f"label_ret_oo_{h}d_mktrel",
        inputs=f"{BARS};idx-bars-daily-topix.O",
    )


def _sector_relative(h: int) -> Label:
    return _until(
        1 + h,
        f"label_ret_oo_{h}d - equal-weighted mean of it over universe members of the same S33 on T "
        "with non-null value (at least 5, self included)",
        name=f"label_ret_oo_{h}d_secrel",
        inputs=f"{BARS};eq-master.S33",
        check="pandas groupby transform",
    )


LABELS: tuple[Label, ...] = (
    *(_close_to_close(h) for h in HORIZONS),
    *(_log("cc", h, h) for h in HORIZONS),
    *(_open_to_open(h) for h in HORIZONS),
    *(_log("oo", h, 1 + h) for h in HORIZONS),
    *(_vol_scaled(h) for h in HORIZONS),
    *(_rank(h) for h in HORIZONS),
    *(_market_relative(h) for h in HORIZONS),
    *(_sector_relative(h) for h in HORIZONS),
)

#: Columns after T until the last of its labels is known.
AHEAD = max(label.ahead for label in LABELS)


@cache
def label_schema() -> pa.Schema:
    """Arrow schema of the label table: the two keys, then every label."""
    keys: list[pa.Field[Any]] = [
        pa.field(DATE, pa.date32(), nullable=False, metadata={ROLE: b"key"}),
        pa.field(CODE, pa.string(), nullable=False, metadata={ROLE: b"key"}),
    ]
    columns: list[pa.Field[Any]] = [
        pa.field(label.name, _ARROW[label.dtype], metadata={ROLE: b"label"}) for label in LABELS
    ]
    return pa.schema(keys + columns)


@cache
def definition_hash() -> str:
    """Of names, types and formulas: labels made by other ones are made anew."""
    text = ";".join(f"{label.name}:{label.dtype}:{label.formula}" for label in LABELS)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compute(outcomes: Outcomes, start: int, stop: int) -> Mapping[str, FloatArray]:
    """All labels of the days [start, stop).

    Returns:
        name -> (codes, stop - start), float64; NaN = null and where the code has no row.
    """
    closes, opens = _price_returns(
        outcomes.o,
        outcomes.c,
        outcomes.adj_factor,
        start,
        stop,
        outcomes.last_bar,
        np.array(HORIZONS),
    )
    universe = outcomes.universe[:, start:stop]
    everyone = whole(universe)
    sectors = groups_of(outcomes.sector[:, start:stop], universe)
    volatility = outcomes.volatility[:, start:stop]
    usable = np.where(volatility < _LEAST_VOLATILITY, np.nan, volatility)
    result: dict[str, FloatArray] = {}
    for place, h in enumerate(HORIZONS):
        for kind, returns in (("cc", closes[place]), ("oo", opens[place])):
            returns[~universe] = np.nan
            result[f"label_ret_{kind}_{h}d"] = returns
            result[f"label_logret_{kind}_{h}d"] = np.log1p(returns)
        name, returns = f"label_ret_oo_{h}d", opens[place]
        means = sectors.spread(group_mean(returns, sectors, _SECTOR_MEMBERS))
        result[f"{name}_volscaled"] = ratio(returns, usable * np.sqrt(h / _YEAR))
        result[f"{name}_rank"] = group_pct(returns, everyone, _RANKED)
        result[f"{name}_mktrel"] = returns - _market_return(outcomes.topix_open, start, stop, h)
        result[f"{name}_secrel"] = returns - means
    return result


def _market_return(opens: FloatArray, start: int, stop: int, h: int) -> FloatArray:
    """Return of an index from the open of T+1 to that of T+1+h, (stop - start,)."""
    return simple_change(_ahead(opens, start, stop, 1 + h), _ahead(opens, start, stop, 1))


def _ahead(series: FloatArray, start: int, stop: int, columns: int) -> FloatArray:
    """Values ``columns`` after each of [start, stop); NaN after the end."""
    known = series[start + columns : stop + columns]
    return np.append(known, np.full(stop - start - known.size, np.nan))


@jit
def _change(now: float, before: float) -> float:
    """now / before - 1, exactly 0 between prices that are equal by SAME_PRICE."""
    if abs(now - before) <= SAME_PRICE * max(abs(now), abs(before)):
        return 0.0
    return now / before - 1.0


@jit
def _price_returns(
    o: FloatArray,
    c: FloatArray,
    adj_factor: FloatArray,
    start: int,
    stop: int,
    last_bar: int,
    horizons: NDArray[np.int64],
) -> tuple[FloatArray, FloatArray]:
    """Returns from the close of T, and from the open of T+1; null while the exit is to come.

    The entry price is brought to the basis of each later column, factor by factor from the entry
    on, so that a value depends on the columns from entry to exit alone, bit for bit.

    Args:
        o, c, adj_factor, last_bar: see ``Outcomes``.
        start, stop: days.
        horizons: ascending.

    Returns:
        (horizons, codes, stop - start) twice.
    """
    closes = np.full((horizons.size, o.shape[0], stop - start), np.nan)
    opens = np.full(closes.shape, np.nan)
    for i in range(o.shape[0]):
        for t in range(start, stop):
            entry, last, place = c[i, t], np.nan, 0
            for u in range(t + 1, min(t + horizons[-1], last_bar) + 1):
                entry *= adj_factor[i, u]
                if not np.isnan(c[i, u]):
                    last = _change(c[i, u], entry)
                if u - t == horizons[place]:
                    closes[place, i, t - start] = last
                    place += 1
            if t + 1 > last_bar or np.isnan(c[i, t + 1]):
                continue
            entry, place = o[i, t + 1], 0
            last = _change(c[i, t + 1], entry)
            for u in range(t + 2, min(t + 1 + horizons[-1], last_bar) + 1):
                entry *= adj_factor[i, u]
                traded = not np.isnan(c[i, u])
                if u - t - 1 == horizons[place]:
                    opens[place, i, t - start] = _change(o[i, u], entry) if traded else last
                    place += 1
                if traded:
                    last = _change(c[i, u], entry)
    return closes, opens
