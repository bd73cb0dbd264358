"""Family guidance: the company's forecasts against its results and against each other."""

from __future__ import annotations

import datetime as dt

from tests.reference.basis import carried_close
from tests.reference.forecasts import Change, changes, forecasts, guidance
from tests.reference.fundamental import minus, over_positive
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, minus_one, ratio
from tests.reference.statements import Book, Period, book, shares

YEAR = 250
"""Columns in which revisions are counted."""

LONG = 550
"""Columns within which some forecast must have been disclosed for revisions to be counted."""


def g(market: ReferenceMarket, code: str, date: dt.date, item: str) -> Value:
    """The forecast of an item for fy* in force on T."""
    series = forecasts(market, code, date, item)
    return series[-1].value if series else None


def last_results(market: ReferenceMarket, s: History) -> tuple[Book, Period] | None:
    """The book and the last fiscal year with published results."""
    found = book(market, s.code, s.date)
    period = found.last_full_year()
    return None if period is None else (found, period)


def result(market: ReferenceMarket, s: History, field: str) -> Value:
    """A field of the last published full-year results."""
    found = last_results(market, s)
    return None if found is None else found[0].cum(found[1], field)


def guide_sales_growth(market: ReferenceMarket, s: History) -> Value:
    forecast = g(market, s.code, s.date, "Sales")
    return minus_one(over_positive(forecast, result(market, s, "Sales")))


def guide_op_growth_to_sales(market: ReferenceMarket, s: History) -> Value:
    growth = minus(g(market, s.code, s.date, "OP"), result(market, s, "OP"))
    return ratio(growth, result(market, s, "Sales"))


def guide_op_margin(market: ReferenceMarket, s: History) -> Value:
    return over_positive(g(market, s.code, s.date, "OP"), g(market, s.code, s.date, "Sales"))


def guide_rev_op_last(market: ReferenceMarket, s: History) -> Value:
    series = forecasts(market, s.code, s.date, "OP")
    if not series:
        return None
    revisions = changes(series)
    if not revisions:
        return 0.0
    old, new = revisions[-1]
    return ratio(new.value - old.value, g(market, s.code, s.date, "Sales"))


def market_value(market: ReferenceMarket, code: str, column: int) -> Value:
    """Market value of a column by the prices and statements known then."""
    price = carried_close(market, code, column)
    count = None if price is None else shares(market, code, market.columns[column])
    return None if price is None or count is None else price * count


def guide_rev_np_last(market: ReferenceMarket, s: History) -> Value:
    series = forecasts(market, s.code, s.date, "NP")
    if not series:
        return None
    revisions = changes(series)
    if not revisions:
        return 0.0
    old, new = revisions[-1]
    return ratio(new.value - old.value, market_value(market, s.code, new.column - 1))


def revisions_of_op(market: ReferenceMarket, s: History) -> list[Change]:
    """Revisions of any target year with effective column in [T-249..T]."""
    first = market.column_of[s.date] - YEAR + 1
    of_years = guidance(market, s.code, s.date, "OP").values()
    return [x for series in of_years for x in changes(series) if x.new.column >= first]


def guide_rev_net_count_250d(market: ReferenceMarket, s: History) -> Value:
    oldest = market.column_of[s.date] - LONG
    of_years = guidance(market, s.code, s.date, "OP").values()
    if not any(item.column >= oldest for series in of_years for item in series):
        return None
    return sum(1 if new.value > old.value else -1 for old, new in revisions_of_op(market, s))


def guide_progress_op(market: ReferenceMarket, s: History) -> Value:
    results, statements = last_results(market, s), book(market, s.code, s.date)
    latest = statements.latest
    if results is None or latest is None or latest.year != results[1].year.after:
        return None
    # In fy* there are no full-year results, so this is 1Q to 3Q.
    return over_positive(statements.cum(latest, "OP"), g(market, s.code, s.date, "OP"))


def guide_progress_gap(market: ReferenceMarket, s: History) -> Value:
    progress, statements = guide_progress_op(market, s), book(market, s.code, s.date)
    if progress is None or statements.latest is None:
        return None
    before = statements.latest.year_before
    whole = statements.cum(before.full_year, "OP")
    return minus(progress, over_positive(statements.cum(before, "OP"), whole))


def guide_surprise_op_fy(market: ReferenceMarket, s: History) -> Value:
    found = last_results(market, s)
    if found is None:
        return None
    statements, period = found
    published = statements.first(period).column
    series = guidance(market, s.code, s.date, "OP").get(period.year, [])
    before = [item.value for item in series if item.column < published]
    if not before:
        return None
    surprise = minus(statements.cum(period, "OP"), before[-1])
    return ratio(surprise, statements.cum(period, "Sales"))


def days_since_guide_rev(market: ReferenceMarket, s: History) -> Value:
    columns = [x.new.column for x in revisions_of_op(market, s)]
    return market.column_of[s.date] - max(columns) if columns else None


FEATURES: dict[str, Feature] = {
    "guide_sales_growth": of_line(guide_sales_growth),
    "guide_op_growth_to_sales": of_line(guide_op_growth_to_sales),
    "guide_op_margin": of_line(guide_op_margin),
    "guide_rev_op_last": of_line(guide_rev_op_last),
    "guide_rev_np_last": of_line(guide_rev_np_last),
    "guide_rev_net_count_250d": of_line(guide_rev_net_count_250d),
    "guide_progress_op": of_line(guide_progress_op),
    "guide_progress_gap": of_line(guide_progress_gap),
    "guide_surprise_op_fy": of_line(guide_surprise_op_fy),
    "days_since_guide_rev": of_line(days_since_guide_rev),
}
