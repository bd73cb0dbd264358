"""When a raw row may first appear in the dataset, and the records an observer on T knows.

A row published on the date D counts from eff(D), the first column at or after D. The two
exceptions are earnings dates, delivered after the decision time and therefore a column later, and
margin balances, whose publication date is mostly not delivered.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from tests.reference.market import ReferenceMarket, remembered
from tests.reference.operators import Value
from tests.reference.tables import Row

LONG_BREAK = dt.timedelta(days=6)
"""A second trading day later than this after the application means holidays: one day more."""


@dataclass(frozen=True)
class Record:
    """One raw row, and the first column in whose dataset row it may appear."""

    fields: Row
    column: int

    def number(self, name: str) -> Value:
        """A number, null where not given."""
        value = self.fields[name]
        return None if value is None else float(value)

    def text(self, name: str) -> str:
        """A text, "" where not given."""
        value = self.fields[name]
        return "" if value is None else str(value)

    def date(self, name: str) -> dt.date | None:
        """A date, null where not given."""
        value: dt.date | None = self.fields[name]
        return value

    def day(self, name: str) -> dt.date:
        """A date that every row has."""
        value = self.date(name)
        assert value is not None, name
        return value


def column_after(market: ReferenceMarket, day: dt.date, count: int = 1) -> int:
    """The ``count``-th column strictly after a date; beyond the calendar its length or more."""
    return bisect_right(market.columns, day) + count - 1


def margin_column(market: ReferenceMarket, row: Row) -> int:
    """eff(PubDate_eff) of a margin balance."""
    if row["PubDate"] is not None:
        return market.eff(row["PubDate"])
    second = column_after(market, row["Date"], 2)
    if second >= len(market.columns) or market.columns[second] - row["Date"] <= LONG_BREAK:
        return second
    return second + 1


def published(name: str) -> Callable[[ReferenceMarket, Row], int]:
    """Rule of a source whose publication date is the field ``name``, before the decision time."""
    return lambda market, row: market.eff(row[name])


FIRST_COLUMN: dict[str, Callable[[ReferenceMarket, Row], int]] = {
    "fin_summary": published("DiscDate"),
    "dividend": published("PubDate"),
    "earnings_date": lambda market, row: column_after(market, row["PubDate"]),
    "margin_interest": margin_column,
    "margin_alert": published("PubDate"),
    "short_sale": published("DiscDate"),
}
"""Source -> the first column a row may appear in; not below the number of columns: none yet."""


@remembered
def records(market: ReferenceMarket, source: str, code: str) -> list[Record]:
    """All records of a code, published whenever, in file order."""
    rows = market.rows_by(source, "Code").get(code, []) if market.has(source) else []
    return [Record(row, FIRST_COLUMN[source](market, row)) for row in rows]


def known(
    market: ReferenceMarket, source: str, code: str, date: dt.date, depth: int | None = None
) -> list[Record]:
    """Records of a code visible on T, for at most ``depth`` columns so far; in file order."""
    here = market.column_of[date]
    oldest = 0 if depth is None else here - depth
    return [r for r in records(market, source, code) if oldest <= r.column <= here]
