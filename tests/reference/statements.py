"""The statement book of one code: what its disclosures say about every period, as of T."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from tests.reference.basis import factor_after_column
from tests.reference.market import ReferenceMarket, remembered
from tests.reference.operators import Value
from tests.reference.publication import Record, records

DEPTH = 1100
"""Columns after which a disclosure counts for nothing."""

STALE = 200
"""Columns for which a latest period is used, from its first disclosure on."""

OLD_REPORT = dt.timedelta(days=400)
"""How long before the latest period one may end that still supplies a cash flow or cash."""

QUARTERS = ("1Q", "2Q", "3Q", "FY")

NON_CONSOLIDATED = {
    "Sales": "NCSales",
    "OP": "NCOP",
    "NP": "NCNP",
    "TA": "NCTA",
    "Eq": "NCEq",
}


class Year(NamedTuple):
    """A fiscal year, by the month it ends in."""

    year: int
    month: int

    @property
    def before(self) -> Year:
        """f-1: the year that ends in the same month one year earlier."""
        return Year(self.year - 1, self.month)

    @property
    def after(self) -> Year:
        """The year that ends in the same month one year later."""
        return Year(self.year + 1, self.month)


class Period(NamedTuple):
    """The part of a fiscal year from its start to the end of a quarter."""

    year: Year
    quarter: str

    @property
    def year_before(self) -> Period:
        """The same part of f-1."""
        return Period(self.year.before, self.quarter)

    @property
    def full_year(self) -> Period:
        """The whole of the same year."""
        return Period(self.year, "FY")

    @property
    def quarter_before(self) -> Period:
        """The part that ends one quarter earlier."""
        if self.quarter == "1Q":
            return Period(self.year.before, "FY")
        return Period(self.year, QUARTERS[QUARTERS.index(self.quarter) - 1])


class Item(NamedTuple):
    """A number from a disclosure, and the column from which that disclosure counts."""

    value: float
    column: int


class Book:
    """The statements of one code in force on some T.

    Args:
        rows: statements of the periods of the catalogue in the order of their disclosure.
    """

    def __init__(self, rows: Sequence[Record]) -> None:
        self.rows: dict[Period, list[Record]] = {}
        for row in rows:
            self.rows.setdefault(_period_of(row), []).append(row)
        self.latest = self._last_of(list(self.rows))

    def first(self, period: Period) -> Record:
        """The first disclosure of a period."""
        return self.rows[period][0]

    def last(self, period: Period) -> Record:
        """The last disclosure of a period."""
        return self.rows[period][-1]

    def end(self, period: Period) -> dt.date | None:
        """CurPerEn of a period, by the last disclosure that gives it."""
        days = (row.date("CurPerEn") for row in reversed(self.rows.get(period, [])))
        return next((day for day in days if day is not None), None)

    def item(self, period: Period, field: str) -> Item | None:
        """Latest value of a field; the non-consolidated one if there never was another."""
        for name in (field, NON_CONSOLIDATED.get(field)):
            for row in reversed(self.rows.get(period, [])):
                value = None if name is None else row.number(name)
                if value is not None:
                    return Item(value, row.column)
        return None

    def cum(self, period: Period, field: str) -> Value:
        """A field of a period; flows run from the start of the fiscal year."""
        item = self.item(period, field)
        return None if item is None else item.value

    def ttm(self, period: Period, field: str) -> Value:
        """The twelve months up to the end of a period."""
        cum = self.cum(period, field)
        if period.quarter == "FY" or cum is None:
            return cum
        last_year = self.cum(period.year_before.full_year, field)
        last_cum = self.cum(period.year_before, field)
        return None if last_year is None or last_cum is None else cum + last_year - last_cum

    def single(self, period: Period, field: str) -> Value:
        """The single quarter at the end of a period."""
        cum = self.cum(period, field)
        if period.quarter == "1Q" or cum is None:
            return cum
        before = self.cum(period.quarter_before, field)
        return None if before is None else cum - before

    def latest_with(self, *fields: str) -> Period | None:
        """The latest period that reports all the fields; it must not end long before the latest."""
        end = None if self.latest is None else self.end(self.latest)
        if end is None:
            return None
        found = []
        for period in self.rows:
            own = self.end(period)
            if own is not None and end - OLD_REPORT <= own:
                found.append(period)
        return self._last_of([p for p in found if all(self.item(p, f) for f in fields)])

    def previous(self) -> Period | None:
        """The reported period that ends next before the latest one."""
        end = None if self.latest is None else self.end(self.latest)
        if end is None:
            return None
        ends = {period: self.end(period) for period in self.rows}
        return self._last_of([p for p, day in ends.items() if day is not None and day < end])

    def last_full_year(self) -> Period | None:
        """The largest fiscal year with published results."""
        return max((p for p in self.rows if p.quarter == "FY"), default=None)

    def _last_of(self, periods: Sequence[Period]) -> Period | None:
        """The period that ends last; of two that end together, the one disclosed last."""
        dated = [
            (end, disclosure(self.last(period)), period)
            for period in periods
            if (end := self.end(period)) is not None
        ]
        return max(dated)[2] if dated else None


def disclosure(row: Record) -> tuple[str, ...]:
    """What orders the disclosures of a code."""
    return str(row.day("DiscDate")), row.text("DiscTime"), row.text("DiscNo")


def year_of(end: dt.date) -> Year:
    """The fiscal year that ends on a date."""
    return Year(end.year, end.month)


def is_statement(row: Record) -> bool:
    """Tell a statement of one of the four period types from all other disclosures."""
    is_of_a_period = row.text("CurPerType") in QUARTERS and row.date("CurFYEn") is not None
    return "FinancialStatements" in row.text("DocType") and is_of_a_period


def _period_of(row: Record) -> Period:
    return Period(year_of(row.day("CurFYEn")), row.text("CurPerType"))


@remembered
def _all_statements(market: ReferenceMarket, code: str) -> list[Record]:
    """Statements of a code, published whenever, in the order of their disclosure."""
    rows = records(market, "fin_summary", code)
    return sorted((row for row in rows if is_statement(row)), key=disclosure)


@remembered
def _book_of(market: ReferenceMarket, code: str, begin: int, end: int) -> Book:
    return Book(_all_statements(market, code)[begin:end])


def book(market: ReferenceMarket, code: str, date: dt.date) -> Book:
    """The statement book as of T."""
    here = market.column_of[date]
    # Ascending, because the statements stand in the order of DiscDate.
    columns = [row.column for row in _all_statements(market, code)]
    begin, end = bisect_left(columns, here - DEPTH), bisect_right(columns, here)
    return _book_of(market, code, begin, end)


def fresh_book(market: ReferenceMarket, code: str, date: dt.date) -> tuple[Book, Period] | None:
    """The book and its latest period; null when that was first disclosed over 200 columns ago."""
    found = book(market, code, date)
    if found.latest is None:
        return None
    age = market.column_of[date] - found.first(found.latest).column
    return None if age > STALE else (found, found.latest)


def net_shares(
    market: ReferenceMarket, code: str, date: dt.date, book: Book, period: Period
) -> Value:
    """ShOutFY - TrShFY of a period in the basis of T; each from the column of its own row."""
    issued, treasury = book.item(period, "ShOutFY"), book.item(period, "TrShFY")
    if issued is None:
        return None
    result = issued.value / factor_after_column(market, code, issued.column, date)
    if treasury is not None:
        result -= treasury.value / factor_after_column(market, code, treasury.column, date)
    return result


def shares(market: ReferenceMarket, code: str, date: dt.date) -> Value:
    """shares_T: of the latest period in force, in the basis of T."""
    found = fresh_book(market, code, date)
    return None if found is None else net_shares(market, code, date, *found)
