"""Family dividend: the dividend book (notices) and the dividend part of the guidance book."""

from __future__ import annotations

import datetime as dt
import math

from tests.reference.basis import carried_close, factor_after, factor_after_column
from tests.reference.forecasts import changes, forecasts
from tests.reference.identity import listing_age_td
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, back, equal, minus_one, present, ratio
from tests.reference.publication import Record, known
from tests.reference.schedule import columns_until
from tests.reference.statements import Item, book

DEPTH = 500
"""Columns after which a notice counts for nothing."""

CAP = 250
"""Columns to and from an ex-date."""

SOON = 120
"""Columns within which the next ex-date has a yield."""

DELETION = "3"

ONE_DAY = dt.timedelta(days=1)
LAST_YEAR = dt.timedelta(days=365)


def notices(market: ReferenceMarket, s: History) -> list[Record]:
    """The dividend book on T: the last notice of every chain unless it is a deletion."""
    found = known(market, "dividend", s.code, s.date, DEPTH)
    found.sort(key=lambda r: (r.day("PubDate"), r.text("PubTime"), r.text("RefNo")))
    chains = {record.text("CARefNo") or record.text("RefNo"): record for record in found}
    return [record for record in chains.values() if record.text("StatCode") != DELETION]


def ex_dates(market: ReferenceMarket, s: History) -> list[dt.date]:
    """All ex-dates in the book."""
    days = (record.date("ExDate") for record in notices(market, s))
    return [day for day in days if day is not None]


def div_yield_ttm(market: ReferenceMarket, s: History) -> Value:
    p, paid = back(s.p, 0), []
    for record in notices(market, s):
        day = record.date("ExDate")
        if day is not None and s.date - LAST_YEAR < day <= s.date:
            # The dividend of an ex-date belongs to the shares of the day before.
            factor = factor_after(market, s.code, day - ONE_DAY, s.date)
            paid.append((record.number("DivRate") or 0.0) * factor)
    age = listing_age_td(s)
    if not paid and (age is None or age < 250):
        return None
    return ratio(math.fsum(paid), p)


def in_basis(market: ReferenceMarket, s: History, amount: Item) -> float:
    """An amount per share in the basis of T."""
    return amount.value * factor_after_column(market, s.code, amount.column, s.date)


def forecast(market: ReferenceMarket, s: History) -> Value:
    """The full-year dividend forecast for fy* in the basis of T."""
    series = forecasts(market, s.code, s.date, "DivAnn")
    return in_basis(market, s, series[-1]) if series else None


def div_yield_fwd(market: ReferenceMarket, s: History) -> Value:
    return ratio(forecast(market, s), back(s.p, 0))


def div_fwd_growth(market: ReferenceMarket, s: History) -> Value:
    statements = book(market, s.code, s.date)
    last = statements.last_full_year()
    paid = None if last is None else statements.item(last, "DivAnn")
    if paid is None or paid.value <= 0:
        return None
    return minus_one(ratio(forecast(market, s), in_basis(market, s, paid)))


def div_rev_last(market: ReferenceMarket, s: History) -> Value:
    series = forecasts(market, s.code, s.date, "DivAnn")
    if not series:
        return None
    amounts = [Item(in_basis(market, s, item), item.column) for item in series]
    revisions = changes(amounts, lambda old, new: not equal(old.value, new.value))
    if not revisions:
        return 0.0
    old, new = revisions[-1]
    close = carried_close(market, s.code, new.column - 1)
    if close is None:
        return None
    close *= factor_after_column(market, s.code, new.column - 1, s.date)
    return ratio(new.value - old.value, close)


def next_ex_date(market: ReferenceMarket, s: History) -> dt.date | None:
    """The nearest ex-date after T."""
    return min((day for day in ex_dates(market, s) if day > s.date), default=None)


def div_days_to_ex(market: ReferenceMarket, s: History) -> Value:
    day = next_ex_date(market, s)
    return None if day is None else columns_until(market, s.date, day, CAP)


def div_days_since_ex(market: ReferenceMarket, s: History) -> Value:
    day = max((day for day in ex_dates(market, s) if day <= s.date), default=None)
    age = None if day is None else market.column_of[s.date] - market.eff(day)
    return None if age is None or age > CAP else age


def div_next_yield(market: ReferenceMarket, s: History) -> Value:
    day = next_ex_date(market, s)
    columns = None if day is None else columns_until(market, s.date, day, SOON + 1)
    if columns is None or columns > SOON:
        return None
    rates: list[Value] = []
    for record in notices(market, s):
        rate = record.number("DivRate")
        if record.date("ExDate") == day and rate is not None:
            rates.append(rate * factor_after(market, s.code, record.day("PubDate"), s.date))
    return ratio(math.fsum(present(rates)), back(s.p, 0)) if rates else None


FEATURES: dict[str, Feature] = {
    "div_yield_ttm": of_line(div_yield_ttm),
    "div_yield_fwd": of_line(div_yield_fwd),
    "div_fwd_growth": of_line(div_fwd_growth),
    "div_rev_last": of_line(div_rev_last),
    "div_days_to_ex": of_line(div_days_to_ex),
    "div_days_since_ex": of_line(div_days_since_ex),
    "div_next_yield": of_line(div_next_yield),
}
