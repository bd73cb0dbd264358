"""Family futures: front contracts of TOPIX, Nikkei 225 and JGB futures, "002" records only."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from functools import partial

from tests.reference.market import Feature, ReferenceMarket, of_market, remembered
from tests.reference.operators import Value, complete, minus_one, ratio
from tests.reference.series import nikkei, topix
from tests.reference.tables import Row

TOPIX, NIKKEI, JGB = "TOPIXF", "NK225F", "JGBLF"


def price(row: Row | None, field: str) -> Value:
    """A price of a contract; 0.0 stands for no trade."""
    return None if row is None or not row[field] else float(row[field])


@remembered
def contracts(market: ReferenceMarket, product: str, date: dt.date | None) -> dict[str, Row]:
    """The records of a product dated T, by contract month."""
    return {
        row["CM"]: row
        for row in market.rows_by("futures", "Date").get(date, [])
        if row["ProdCat"] == product and row["EmMrgnTrgDiv"] == "002"
    }


def alive(market: ReferenceMarket, product: str, date: dt.date, on: dt.date | None) -> list[Row]:
    """The records dated ``on`` of the contracts whose special quotation is after ``date``."""
    rows = contracts(market, product, on).values()
    return [row for row in rows if row["SQD"] is not None and row["SQD"] > date]


def front(market: ReferenceMarket, product: str, date: dt.date) -> Row | None:
    """The central contract month of T, else the largest open interest, else the nearest."""
    rows = alive(market, product, date, date)
    central = [row for row in rows if row["CCMFlag"] == "1"]
    return min(central or rows, key=lambda row: (-(row["OI"] or 0), row["SQD"]), default=None)


def settle_before(market: ReferenceMarket, product: str, date: dt.date) -> Value:
    """Settlement price of the front of T on the column before."""
    row = front(market, product, date)
    before = contracts(market, product, market.before(date))
    return None if row is None else price(before.get(row["CM"]), "Settle")


def night_ret(market: ReferenceMarket, date: dt.date, product: str) -> Value:
    close = price(front(market, product, date), "EC")
    return minus_one(ratio(close, settle_before(market, product, date)))


def fut_topix_range_pct(market: ReferenceMarket, date: dt.date) -> Value:
    row = front(market, TOPIX, date)
    high, low = price(row, "H"), price(row, "L")
    if high is None or low is None:
        return None
    return ratio(high - low, settle_before(market, TOPIX, date))


def fut_topix_oi_chg_1d(market: ReferenceMarket, date: dt.date) -> Value:
    now = alive(market, TOPIX, date, date)
    before = alive(market, TOPIX, date, market.before(date))
    if not now or not before:
        return None
    return minus_one(ratio(open_interest(now), open_interest(before)))


def open_interest(rows: list[Row]) -> float:
    return math.fsum(row["OI"] or 0.0 for row in rows)


def fut_topix_basis(market: ReferenceMarket, date: dt.date) -> Value:
    return minus_one(ratio(price(front(market, TOPIX, date), "Settle"), topix(market, date)[-1]))


def fut_topix_term_slope_ann(market: ReferenceMarket, date: dt.date) -> Value:
    near = front(market, TOPIX, date)
    if near is None:
        return None
    later = [row for row in alive(market, TOPIX, near["SQD"], date) if (row["OI"] or 0) > 0]
    following = min(later, key=lambda row: row["SQD"], default=None)
    f, n = price(near, "Settle"), price(following, "Settle")
    if following is None or f is None or n is None:
        return None
    days: int = (following["SQD"] - near["SQD"]).days
    return math.log(n / f) * 365 / days


def fut_topix_days_to_roll(market: ReferenceMarket, date: dt.date) -> Value:
    row = front(market, TOPIX, date)
    if row is None or row["LTD"] is None or row["LTD"] > market.calendar_end:
        return None
    last: dt.date = row["LTD"]
    return market.eff(last) - market.column_of[date]


def fut_nk225_basis(market: ReferenceMarket, date: dt.date) -> Value:
    return minus_one(ratio(price(front(market, NIKKEI, date), "Settle"), nikkei(market, date)))


def jgb_ret(market: ReferenceMarket, date: dt.date, k: int) -> Value:
    """Product of the daily returns of the contract that is the front on each day."""
    steps: list[Value] = []
    for day in market.window(date, k):
        now = None if day is None else price(front(market, JGB, day), "Settle")
        before = None if day is None else settle_before(market, JGB, day)
        steps.append(ratio(now, before))
    known = complete(steps)
    return None if known is None else math.prod(known) - 1


FORMULAS: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    "fut_topix_night_ret": partial(night_ret, product=TOPIX),
    "fut_topix_range_pct": fut_topix_range_pct,
    "fut_topix_oi_chg_1d": fut_topix_oi_chg_1d,
    "fut_topix_basis": fut_topix_basis,
    "fut_topix_term_slope_ann": fut_topix_term_slope_ann,
    "fut_topix_days_to_roll": fut_topix_days_to_roll,
    "fut_nk225_night_ret": partial(night_ret, product=NIKKEI),
    "fut_nk225_basis": fut_nk225_basis,
    "jgb_fut_ret_5d": partial(jgb_ret, k=5),
    "jgb_fut_ret_20d": partial(jgb_ret, k=20),
}
FEATURES: dict[str, Feature] = {name: of_market(formula) for name, formula in FORMULAS.items()}
