"""From a query to the rows it may see: the plan's window, the clock, the trading calendar."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.server.dialect import EVIDENCE, Dialect
from pipeline.simulator.server.endpoint_table import Endpoint, Scope
from pipeline.simulator.server.late_corrections import Corrections
from pipeline.simulator.server.plan_access import PLANS
from pipeline.simulator.server.publication_clock import AFTER_CLOSE, tokyo_clock, tokyo_date

if TYPE_CHECKING:
    from pipeline.simulator.array_types import Columns
    from pipeline.simulator.server.plan_access import Plan, Window
    from pipeline.simulator.server.request_query import Query
    from pipeline.simulator.synthetic_market import Market


REAL_TIME_PLAN = "premium"  # gets disclosures at once, the others in the evening


@dataclass(frozen=True)
class Viewer:
    """Who asks, and when.

    Attributes:
        corrections: what the vendor restates later.
        dialect: says where the window's day begins, and whether a refusal names the window.
    """

    market: Market
    plan: Plan
    now: datetime
    corrections: Corrections = field(default_factory=Corrections)
    dialect: Dialect = EVIDENCE

    @property
    def today(self) -> date:
        """Calendar date in Tokyo."""
        return tokyo_date(self.now)

    @property
    def window(self) -> Window:
        """Dates of the subscription now."""
        utc = self.dialect.day == "utc"
        return self.plan.window(self.now.astimezone(UTC).date() if utc else self.today)

    def scope(self, endpoint: Endpoint, query: Query) -> Scope:
        """The rows a query selects.

        Raises:
            RefusalError: all dates asked for lie outside the plan's window.
        """
        first, last = self._dates(endpoint, query)
        return Scope(
            sessions=self._listing(endpoint, last)
            if endpoint.axis == "listing"
            else self._sessions(endpoint, first, last),
            code=query.code,
            as_of=self._newest_prices(),
            first=first,
            last=last,
            hol_div=query.hol_div,
            now=tokyo_clock(self.now),
            real_time=self.plan.rank >= PLANS[REAL_TIME_PLAN].rank,
            dates={name: str(day) for name, day in query.dates.items()},
            texts=query.texts,
        )

    def rows(self, endpoint: Endpoint, scope: Scope) -> Columns:
        """The rows of a scope, as the vendor tells them by now."""
        columns = endpoint.rows(self.market, scope)
        return self.corrections.as_seen(endpoint.path, columns, tokyo_clock(self.now))

    def _dates(self, endpoint: Endpoint, query: Query) -> tuple[date, date]:
        window = self.window
        start, end = self.market.spec.start, self._end_of_axis(endpoint)
        day = query.day or query.dates.get("disc_date")
        given_first = day or query.first or query.dates.get("disc_date_from")
        given_last = day or query.last or query.dates.get("disc_date_to")
        first = given_first or min(start, given_last or start)
        last = given_last or max(first, end)
        if given_first or given_last:
            window.require(first, last, named=self.dialect.window == "named")
        first, last = window.clip(first, last)
        if endpoint.axis == "days":  # the exchange opened on the market's first day
            first = max(first, self.market.spec.start)
        return first, last

    def _end_of_axis(self, endpoint: Endpoint) -> date:
        """The end of an open range: the published calendar ends with the next year."""
        return date(self.today.year + 1, 12, 31) if endpoint.axis == "days" else self.today

    def _sessions(self, endpoint: Endpoint, first: date, last: date) -> range:
        calendar = self.market.calendar
        newest = min(self._newest(endpoint), self.market.last)
        start = calendar.at_or_after(np.datetime64(first))
        stop = min(calendar.at_or_before(np.datetime64(last)), newest) + 1
        return range(start, max(start, stop))

    def _listing(self, endpoint: Endpoint, day: date) -> range:
        """The session whose list answers for a date: that day, the next session when closed.

        Far in the future the newest published list answers, before the market's start the
        oldest one.
        """
        newest = min(self._newest(endpoint), self.market.last + 1)
        t = min(self.market.calendar.at_or_after(np.datetime64(day)), newest)
        return range(max(t, 0), t + 1)

    def _newest(self, endpoint: Endpoint) -> int:
        sessions = self.market.calendar.sessions
        if endpoint.publication is None:
            return int(sessions.size) - 1
        return endpoint.publication.newest(sessions, self.now)

    def _newest_prices(self) -> int:
        return min(AFTER_CLOSE.newest(self.market.calendar.sessions, self.now), self.market.last)
