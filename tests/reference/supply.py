"""Family supply: changes of the number of shares, in the basis of T."""

from __future__ import annotations

from tests.reference.basis import factor_after_column
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, minus_one, ratio
from tests.reference.statements import Book, Period, fresh_book, net_shares

MISMATCH = 0.5
"""A larger change between two periods is a split the statements do not agree on."""

SHOCK = 0.01


def change(
    market: ReferenceMarket, s: History, book: Book, now: Period, before: Period | None
) -> Value:
    """``n_0 / n_1 - 1`` of two periods."""
    if before is None:
        return None
    n_0, n_1 = (net_shares(market, s.code, s.date, book, period) for period in (now, before))
    return minus_one(ratio(n_0, n_1))


def shares_out_chg_yoy(market: ReferenceMarket, s: History) -> Value:
    found = fresh_book(market, s.code, s.date)
    if found is None:
        return None
    book, period = found
    return change(market, s, book, period, period.year_before)


def shares_out_chg_last(market: ReferenceMarket, s: History) -> Value:
    found = fresh_book(market, s.code, s.date)
    if found is None:
        return None
    book, period = found
    x = change(market, s, book, period, book.previous())
    return None if x is None or abs(x) > MISMATCH else x


def treasury_ratio(market: ReferenceMarket, s: History) -> Value:
    found = fresh_book(market, s.code, s.date)
    if found is None:
        return None
    book, period = found
    issued, treasury = book.item(period, "ShOutFY"), book.item(period, "TrShFY")
    if issued is None:
        return None
    if treasury is None:
        return ratio(0.0, issued.value)
    return ratio(
        treasury.value / factor_after_column(market, s.code, treasury.column, s.date),
        issued.value / factor_after_column(market, s.code, issued.column, s.date),
    )


def supply_shock(market: ReferenceMarket, s: History) -> Value:
    x = shares_out_chg_last(market, s)
    return None if x is None else int(x >= SHOCK) - int(x <= -SHOCK)


FEATURES: dict[str, Feature] = {
    "shares_out_chg_yoy": of_line(shares_out_chg_yoy),
    "shares_out_chg_last": of_line(shares_out_chg_last),
    "treasury_ratio": of_line(treasury_ratio),
    "supply_shock": of_line(supply_shock),
}
