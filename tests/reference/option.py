"""Family option: the smile of the Nikkei 225 options, "002" records only (section 2.7)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from tests.reference.market import Feature, ReferenceMarket, of_market, remembered
from tests.reference.operators import (
    Value,
    at_least,
    complete,
    difference,
    log_return,
    mean,
    minus_one,
    ratio,
)
from tests.reference.series import nikkei
from tests.reference.tables import Row
from tests.reference.volatility import YEAR

PUT, CALL = "1", "2"
NEAREST = 7
"""Calendar days to the special quotation below which an expiry has no smile."""

Quantity = Callable[["Smile"], Value]


@dataclass(frozen=True)
class Quote:
    """An out-of-the-money quote; x = ln(K/F), sigma as a fraction."""

    strike: float
    x: float
    sigma: float


@dataclass(frozen=True)
class Smile:
    """A valid expiry: d calendar days to its special quotation."""

    days: int
    rate: float
    forward: float
    puts: dict[float, Row]
    calls: dict[float, Row]

    @property
    def tau(self) -> float:
        return self.days / 365

    def otm(self, kind: str) -> list[Quote]:
        """Quotes of one side, strikes ascending."""
        side = self.puts if kind == PUT else self.calls
        return [
            Quote(strike, math.log(strike / self.forward), row["IV"] / 100)
            for strike, row in sorted(side.items())
            if (strike < self.forward) == (kind == PUT)
            and (row["IV"] or 0) > 0
            and (row["Settle"] or 0) > 0
        ]

    @property
    def is_valid(self) -> bool:
        return all(any(abs(q.x) <= 0.1 for q in self.otm(kind)) for kind in (PUT, CALL))


def alive(market: ReferenceMarket, date: dt.date, on: dt.date | None) -> list[Row]:
    """The records dated ``on`` of the contracts whose special quotation is after ``date``."""
    rows = market.rows_by("index_option", "Date").get(on, [])
    usual = [row for row in rows if row["EmMrgnTrgDiv"] == "002" and row["SQD"] is not None]
    return [row for row in usual if row["SQD"] > date]


def smile_of(rows: list[Row], days: int) -> Smile | None:
    """The smile of one expiry, null without a forward."""
    puts = {row["Strike"]: row for row in rows if row["PCDiv"] == PUT}
    calls = {row["Strike"]: row for row in rows if row["PCDiv"] == CALL}
    gaps = [
        (abs(calls[k]["Settle"] - puts[k]["Settle"]), k)
        for k in settled_strikes(puts, calls)
        if calls[k]["IR"] is not None
    ]
    if not gaps:
        return None
    strike = min(gaps)[1]
    rate = calls[strike]["IR"] / 100
    carry = math.exp(rate * days / 365)
    forward = strike + carry * (calls[strike]["Settle"] - puts[strike]["Settle"])
    return Smile(days, rate, forward, puts, calls) if forward > 0 else None


def settled_strikes(puts: dict[float, Row], calls: dict[float, Row]) -> list[float]:
    """The strikes whose put and call both have a settlement price."""
    both = puts.keys() & calls.keys()
    return sorted(k for k in both if (puts[k]["Settle"] or 0) > 0 and (calls[k]["Settle"] or 0) > 0)


@remembered
def smiles(market: ReferenceMarket, date: dt.date) -> list[Smile]:
    """The valid expiries of T at least seven days away, the nearest first."""
    rows = alive(market, date, date)
    result = []
    for sqd in sorted({row["SQD"] for row in rows}):
        days = (sqd - date).days
        smile = smile_of([row for row in rows if row["SQD"] == sqd], days)
        if days >= NEAREST and smile is not None and smile.is_valid:
            result.append(smile)
    return result


def line_through(a: tuple[float, float], b: tuple[float, float], x: float) -> float:
    """The value at x of the line through two points."""
    return a[1] if a[0] == b[0] else a[1] + (x - a[0]) / (b[0] - a[0]) * (b[1] - a[1])


def atm(smile: Smile) -> float:
    """IV at the forward, between the quotes next to it; both are near it in a valid smile."""
    below, above = smile.otm(PUT)[-1], smile.otm(CALL)[0]
    return line_through((below.x, below.sigma), (above.x, above.sigma), 0.0)


def wing(smile: Smile, kind: str) -> Value:
    """IV at a delta of -0.25 or 0.25, in the first pair of neighbours that brackets it."""
    target = -0.25 if kind == PUT else 0.25
    outwards = smile.otm(kind)[::-1] if kind == PUT else smile.otm(kind)
    points = [(delta(q, smile.tau, kind), q.sigma) for q in outwards]
    for a, b in pairwise(points):
        if min(a[0], b[0]) <= target <= max(a[0], b[0]):
            return line_through(a, b, target)
    return None


def delta(quote: Quote, tau: float, kind: str) -> float:
    """Forward delta by Black 1976."""
    d1 = (-quote.x + quote.sigma**2 * tau / 2) / (quote.sigma * math.sqrt(tau))
    return NormalDist().cdf(d1) - (1 if kind == PUT else 0)


def model_free(smile: Smile) -> Value:
    """Square root of the model-free variance."""
    below = [k for k in settled_strikes(smile.puts, smile.calls) if k <= smile.forward]
    if not below:
        return None
    k0 = below[-1]
    prices = {
        k: row["Settle"] for k, row in smile.puts.items() if k < smile.forward and row["Settle"]
    }
    prices |= {
        k: row["Settle"] for k, row in smile.calls.items() if k >= smile.forward and row["Settle"]
    }
    prices[k0] = (smile.puts[k0]["Settle"] + smile.calls[k0]["Settle"]) / 2
    strikes = sorted(k for k, price in prices.items() if price >= 1)
    if len(strikes) < 2:
        return None
    terms = []
    for i, k in enumerate(strikes):
        left, right = max(i - 1, 0), min(i + 1, len(strikes) - 1)
        step = (strikes[right] - strikes[left]) / (right - left)
        terms.append(step / k**2 * math.exp(smile.rate * smile.tau) * prices[k])
    variance = 2 / smile.tau * math.fsum(terms) - (smile.forward / k0 - 1) ** 2 / smile.tau
    return math.sqrt(variance) if variance > 0 else None


def at_horizon(market: ReferenceMarket, date: dt.date, quantity: Quantity, target: int) -> Value:
    """A volatility in total variance between the expiries on both sides of ``target`` days."""
    points = [(s.days, x) for s in smiles(market, date) if (x := quantity(s)) is not None]
    before = [point for point in points if point[0] <= target]
    later = [point for point in points if point[0] > target]
    if not before or not later:
        return before[-1][1] if before else later[0][1] if later else None
    (d1, s1), (d2, s2) = before[-1], later[0]
    w1, w2 = s1**2 * d1 / 365, s2**2 * d2 / 365
    w = ((d2 - target) * w1 + (target - d1) * w2) / (d2 - d1)
    return math.sqrt(w * 365 / target)


def opt_iv_atm_near(market: ReferenceMarket, date: dt.date) -> Value:
    valid = smiles(market, date)
    return atm(valid[0]) if valid else None


@remembered
def opt_iv_atm_30d(market: ReferenceMarket, date: dt.date) -> Value:
    return at_horizon(market, date, atm, 30)


def opt_iv_ts_slope_30_90(market: ReferenceMarket, date: dt.date) -> Value:
    return difference(at_horizon(market, date, atm, 90), opt_iv_atm_30d(market, date))


def wings(market: ReferenceMarket, date: dt.date) -> tuple[Value, Value]:
    """IV of the put and the call wing at 30 days."""
    put, call = (at_horizon(market, date, partial(wing, kind=kind), 30) for kind in (PUT, CALL))
    return put, call


def opt_skew25_30d(market: ReferenceMarket, date: dt.date) -> Value:
    return difference(*wings(market, date))


def opt_bfly25_30d(market: ReferenceMarket, date: dt.date) -> Value:
    known = complete(wings(market, date))
    return None if known is None else difference(mean(known), opt_iv_atm_30d(market, date))


def opt_smile(market: ReferenceMarket, date: dt.date, power: int) -> Value:
    """A coefficient of the parabola through the smile of the expiry nearest to 30 days."""
    smile = min(smiles(market, date), key=lambda s: (abs(s.days - 30), s.days), default=None)
    if smile is None:
        return None
    scale = atm(smile) * math.sqrt(smile.tau)
    points = [(q.x / scale, q.sigma) for kind in (PUT, CALL) for q in smile.otm(kind)]
    near = [(y, sigma) for y, sigma in points if abs(y) <= 1.5]
    if len(near) < 6:
        return None
    coefficients = np.polyfit([y for y, _ in near], [sigma for _, sigma in near], 2)
    return float(coefficients[2 - power])


def opt_mfiv_30d(market: ReferenceMarket, date: dt.date) -> Value:
    return at_horizon(market, date, model_free, 30)


def total(rows: list[Row], field: str, kind: str | None = None) -> float:
    return math.fsum(row[field] or 0.0 for row in rows if kind in {None, row["PCDiv"]})


def put_call_ratio(market: ReferenceMarket, date: dt.date, field: str) -> Value:
    rows = alive(market, date, date)
    if not rows:
        return None
    return math.log((total(rows, field, PUT) + 1) / (total(rows, field, CALL) + 1))


def opt_oi_chg_1d(market: ReferenceMarket, date: dt.date) -> Value:
    now, before = alive(market, date, date), alive(market, date, market.before(date))
    return minus_one(ratio(total(now, "OI"), total(before, "OI"))) if now and before else None


def opt_vrp_30d(market: ReferenceMarket, date: dt.date) -> Value:
    sigma, steps = opt_iv_atm_30d(market, date), []
    for day in market.window(date, 20):
        before = None if day is None else market.before(day)
        if day is None or before is None:
            return None
        steps.append(log_return(nikkei(market, day), nikkei(market, before)))
    known = complete(steps)
    if sigma is None or known is None:
        return None
    return sigma**2 - YEAR * mean([g * g for g in known])


def opt_iv_30d_pct_250(market: ReferenceMarket, date: dt.date) -> Value:
    days = market.window(date, 250)
    values = [None if day is None else opt_iv_atm_30d(market, day) for day in days]
    known, now = at_least(125, values), values[-1]
    if known is None or now is None:
        return None
    rank = sum(x < now for x in known) + (sum(x == now for x in known) + 1) / 2
    return (rank - 1) / (len(known) - 1)


def opt_days_to_sq(market: ReferenceMarket, date: dt.date) -> Value:
    rows = alive(market, date, date)
    return (min(row["SQD"] for row in rows) - date).days if rows else None


def opt_oi_strike_dist(market: ReferenceMarket, date: dt.date) -> Value:
    rows = alive(market, date, date)
    weighted = math.fsum((row["OI"] or 0.0) * row["Strike"] for row in rows)
    return minus_one(ratio(ratio(weighted, total(rows, "OI")), nikkei(market, date)))


def pain(rows: list[Row], level: float) -> float:
    """What the holders of all contracts receive when the index settles at a level."""
    return math.fsum(
        (row["OI"] or 0.0) * max(0.0, (level - row["Strike"]) * (1 if row["PCDiv"] == CALL else -1))
        for row in rows
    )


def opt_max_pain_dist(market: ReferenceMarket, date: dt.date) -> Value:
    rows = alive(market, date, date)
    nearest = [row for row in rows if row["SQD"] == min(r["SQD"] for r in rows)]
    if total(nearest, "OI") == 0:
        return None
    strikes = sorted({row["Strike"] for row in nearest})
    strike = min(strikes, key=lambda k: (pain(nearest, k), k))
    return minus_one(ratio(strike, nikkei(market, date)))


def opt_otm_put_oi_share(market: ReferenceMarket, date: dt.date) -> Value:
    rows, price = alive(market, date, date), nikkei(market, date)
    if price is None:
        return None
    far = [row for row in rows if row["Strike"] < 0.9 * price]
    return ratio(total(far, "OI", PUT), total(rows, "OI", PUT))


FORMULAS: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    "opt_iv_atm_near": opt_iv_atm_near,
    "opt_iv_atm_30d": opt_iv_atm_30d,
    "opt_iv_ts_slope_30_90": opt_iv_ts_slope_30_90,
    "opt_skew25_30d": opt_skew25_30d,
    "opt_bfly25_30d": opt_bfly25_30d,
    "opt_smile_slope": partial(opt_smile, power=1),
    "opt_smile_curv": partial(opt_smile, power=2),
    "opt_mfiv_30d": opt_mfiv_30d,
    "opt_pc_oi_ratio": partial(put_call_ratio, field="OI"),
    "opt_pc_volume_ratio": partial(put_call_ratio, field="Vo"),
    "opt_pc_turnover_ratio": partial(put_call_ratio, field="Va"),
    "opt_oi_chg_1d": opt_oi_chg_1d,
    "opt_vrp_30d": opt_vrp_30d,
    "opt_iv_30d_pct_250": opt_iv_30d_pct_250,
    "opt_days_to_sq": opt_days_to_sq,
    "opt_oi_strike_dist": opt_oi_strike_dist,
    "opt_max_pain_dist": opt_max_pain_dist,
    "opt_otm_put_oi_share": opt_otm_put_oi_share,
}
FEATURES: dict[str, Feature] = {name: of_market(formula) for name, formula in FORMULAS.items()}
