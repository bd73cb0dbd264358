"""The synthetic market: everything the simulated exchange knows, made on demand.

Benchmarks and tests read it directly, without HTTP::

    market = Market(MarketSpec(seed=7, stocks=200, start=date(2023, 1, 1), end=date(2024, 6, 30)))
    bars = market.rows("daily_bars", date(2024, 6, 3))            # columns of one date
    bars = market.rows("daily_bars", date(2024, 4, 1), date(2024, 6, 28), code="13010")
    table = market.table("index_options", date(2024, 6, 3))       # the same as a pyarrow table

Sources by session: ``listed``, ``daily_bars``, ``topix``, ``indices``, ``index_options``,
``futures``, ``short_ratio``, ``breakdown``, ``valuation``. By date of publication:
``investor_types``, ``fin_summary``, ``dividend``, ``earnings_date``, ``margin_alert``,
``short_sale``; by date of application ``margin_interest``; and ``calendar``. Columns stand in
the order of the API's fields; numbers are float64 or int64 with NaN for a missing value, text is
str, and columns of numbers and marks hold both. Adjusted prices are as of the market's last
session, unless ``as_of`` says otherwise.

What companies tell, margin balances and the like are made when first asked for, from the prices
of all sessions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.simulator.array_types import Columns, FloatArray, IntArray, iso_dates
from pipeline.simulator.companies.company_records import make_fundamentals
from pipeline.simulator.companies.company_traits import make_companies
from pipeline.simulator.companies.event_records import END_OF_TIME, Records, Selection, where_equal
from pipeline.simulator.derivatives import futures_bars
from pipeline.simulator.derivatives.option_bars import OptionTape
from pipeline.simulator.exchange import index_bars as indices
from pipeline.simulator.exchange import order_flow, source_rows
from pipeline.simulator.exchange.exchange_calendar import TokyoCalendar, day_classes
from pipeline.simulator.exchange.listings import make_universe
from pipeline.simulator.exchange.price_paths import PriceTape
from pipeline.simulator.exchange.return_factors import make_factors
from pipeline.simulator.exchange.share_counts import StepProduct, issuance
from pipeline.simulator.lazy import Lazy
from pipeline.simulator.positions import investor_type_rows, margin_rows, short_sellers
from pipeline.simulator.positions.margin_paths import MarginTape

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.simulator.market_spec import MarketSpec


class Market:
    """A market made from a spec.

    Attributes:
        spec: what it was made from.
        calendar: sessions from ``spec.start`` to the end of the quarter after ``spec.end``.
        last: index of the last session with prices, the one at or before ``spec.end``.
        universe, companies, factors, tape, options, margin: the parts; the three tapes (prices,
            options, margin balances) are filled on demand, which any thread may cause.
        issuance: growth of share counts other than by splits.
        fundamentals, indices, walks: made when called for the first time.
        names, english_names: (slots,) of the issues.

    Raises:
        UsageError: there is no session from ``spec.start`` to ``spec.end``.
    """

    def __init__(self, spec: MarketSpec) -> None:
        self.spec = spec
        self.calendar = TokyoCalendar(spec.start, _quarter_after(spec.end))
        self.last = self.calendar.at_or_before(np.datetime64(spec.end))
        if self.last < 0:
            raise UsageError(f"simulator: no session from {spec.start} to {spec.end}")
        sessions = self.calendar.sessions
        self.universe = make_universe(spec, sessions)
        self.factors = make_factors(spec.seed, sessions)
        self.tape = PriceTape(spec, self.universe, self.factors)
        self.options = OptionTape(spec.seed, sessions, self.factors, spec.stocks)
        self.margin = MarginTape(spec, self.universe, self.tape)
        self.issuance = issuance(spec, self.universe)
        self.names, self.english_names = source_rows.issue_names(self.universe.issues)
        self.companies = make_companies(spec.seed, self.universe)
        self.walks = Lazy(lambda: futures_bars.make_walks(spec.seed, sessions))
        self.fundamentals = Lazy(lambda: make_fundamentals(self))
        self.indices = Lazy(
            lambda: indices.IndexTape(
                spec.seed, self.universe, self.factors, self.tape, self.companies
            )
        )
        self._splits = Lazy(self._make_splits)
        self._investors = Lazy(lambda: investor_type_rows.investor_records(self))
        self._alerts = Lazy(lambda: margin_rows.alert_records(self))
        self._short_sales = Lazy(lambda: short_sellers.short_sale_records(self))

    # -- shares ------------------------------------------------------------------------------

    def split(self, t: IntArray, s: IntArray) -> FloatArray:
        """Product of the split factors of slots ``s`` up to sessions ``t``, themselves included."""
        return self._splits().at(t, s)

    def issued(self, t: IntArray, s: IntArray) -> FloatArray:
        """Shares outstanding of slots ``s`` on sessions ``t``, treasury shares included."""
        listed = self.universe.issues.shares[s] / self.split(t, s)
        return np.round(listed * self.issuance.at(t, s))

    def _make_splits(self) -> StepProduct:
        self.tape.extend(self.last + 1)
        # Splits are decided a quarter ahead; those beyond the end must not show.
        steps = [(x.session, x.slot, x.factor) for x in self.tape.splits if x.session <= self.last]
        return StepProduct(steps)

    # -- rows --------------------------------------------------------------------------------

    def slots(self, code: str | None) -> IntArray:
        """Slots of a code of 4 or 5 characters, or of all codes in ascending order.

        Four characters mean the common share; another class only when there is no common one.
        """
        order = self.universe.by_code
        if code is None:
            return order
        codes = self.universe.issues.code
        wanted = code if len(code) == 5 else code + "0"
        found: IntArray = order[codes[order] == wanted]
        if found.size == 0 and len(code) == 4:
            found = np.array([s for s in order if codes[s][:4] == code], dtype=np.int64)
        return found

    def listed(self, sessions: range, code: str | None = None) -> Columns:
        """Issue master of consecutive sessions."""
        return source_rows.listed(self, sessions, self.slots(code))

    def daily_bars(self, sessions: range, code: str | None, as_of: int) -> Columns:
        """Daily bars of consecutive sessions, adjusted for the splits up to ``as_of``."""
        self.tape.extend(max(sessions.stop, as_of + 1))
        return source_rows.daily_bars(self, sessions, self.slots(code), as_of)

    def topix(self, sessions: range) -> Columns:
        return source_rows.topix(self, sessions)

    def index_options(self, sessions: range) -> Columns:
        return source_rows.index_options(self, sessions)

    def index_bars(self, sessions: range, code: str | None) -> Columns:
        """All indices, or one by its code."""
        return indices.index_bars(self.indices(), self.calendar.sessions, sessions, code)

    def futures(self, sessions: range) -> Columns:
        return futures_bars.futures(self, sessions)

    def breakdown(self, sessions: range, code: str | None) -> Columns:
        """Trades by order flag."""
        return order_flow.breakdown(self, sessions, self.slots(code))

    def short_ratio(self, sessions: range) -> Columns:
        """Short selling by industry."""
        return order_flow.short_ratio(self, sessions)

    def valuations(self, sessions: range, code: str | None) -> Columns:
        """Per-share figures and multiples."""
        self.tape.extend(sessions.stop)
        return source_rows.valuations(self, sessions, self.slots(code))

    def margin_interest(
        self, wanted: Selection, code: str | None, published: str | None = None
    ) -> Columns:
        """Margin balances by date of application."""
        return margin_rows.margin_interest(self, self._inside(wanted), self.slots(code), published)

    def margin_alerts(self, wanted: Selection, code: str | None) -> Columns:
        """Margin balances of designated issues."""
        return self._select(self._alerts(), wanted, code)

    def short_sales(self, wanted: Selection, code: str | None) -> Columns:
        """Reports of large short positions."""
        return self._select(self._short_sales(), wanted, code)

    def investor_types(self, wanted: Selection) -> Columns:
        """Weekly trading by type of investor."""
        return self._select(self._investors(), wanted, None)

    def summaries(self, wanted: Selection, code: str | None) -> Columns:
        """Earnings summaries, by disclosure number."""
        columns = self._select(self.fundamentals().summary, wanted, code)
        order = np.argsort(columns["DiscNo"].astype("U14"), kind="stable")
        return {name: values[order] for name, values in columns.items()}

    def dividends(self, wanted: Selection, code: str | None) -> Columns:
        """Dividend notices."""
        return self._select(self.fundamentals().dividends, wanted, code)

    def earnings_dates(
        self, wanted: Selection, code: str | None, scheduled: str | None = None
    ) -> Columns:
        """Scheduled earnings dates with all changes; for ``scheduled`` only those in force."""
        book = self.fundamentals().schedules
        found = book.records.find(self._inside(wanted), self._wanted_slots(code))
        if scheduled is not None:
            found = book.in_force(found)
        return where_equal(book.records.make(found), "SchDate", scheduled)

    def _select(self, records: Records, wanted: Selection, code: str | None) -> Columns:
        return records.select(self._inside(wanted), self._wanted_slots(code))

    def _wanted_slots(self, code: str | None) -> IntArray | None:
        return None if code is None else self.slots(code)

    def _inside(self, wanted: Selection) -> Selection:
        """The part of a selection that lies in the market's time."""
        first, last = np.datetime64(self.spec.start), np.datetime64(self.spec.end)
        return replace(wanted, first=max(wanted.first, first), last=min(wanted.last, last))

    def calendar_days(self, first: date, last: date) -> Columns:
        """Every calendar date of a range with its class."""
        days, classes = day_classes(first, last)
        return {"Date": iso_dates(days), "HolDiv": classes}

    def rows(
        self, source: str, first: date, last: date | None = None, *, code: str | None = None
    ) -> Columns:
        """Columns of a source over the sessions (calendar: the dates) of a range.

        Args:
            source: see the module's description.
            first, last: both included; ``last`` is ``first`` when left out.
            code: 4 or 5 characters of an issue (``indices``: an index); ignored by sources that
                know no codes.

        Raises:
            UsageError: the source is unknown.
        """
        last = first if last is None else last
        if source == "calendar":
            return self.calendar_days(first, last)
        start = self.calendar.at_or_after(np.datetime64(first))
        stop = min(self.calendar.at_or_before(np.datetime64(last)), self.last) + 1
        sessions = range(start, max(start, stop))
        wanted = Selection(np.datetime64(first), np.datetime64(last), END_OF_TIME)
        makers: Final[dict[str, Callable[[], Columns]]] = {
            "listed": lambda: self.listed(sessions, code),
            "daily_bars": lambda: self.daily_bars(sessions, code, self.last),
            "topix": lambda: self.topix(sessions),
            "indices": lambda: self.index_bars(sessions, code),
            "index_options": lambda: self.index_options(sessions),
            "futures": lambda: self.futures(sessions),
            "breakdown": lambda: self.breakdown(sessions, code),
            "short_ratio": lambda: self.short_ratio(sessions),
            "valuation": lambda: self.valuations(sessions, code),
            "investor_types": lambda: self.investor_types(wanted),
            "fin_summary": lambda: self.summaries(wanted, code),
            "dividend": lambda: self.dividends(wanted, code),
            "earnings_date": lambda: self.earnings_dates(wanted, code),
            "margin_interest": lambda: self.margin_interest(wanted, code),
            "margin_alert": lambda: self.margin_alerts(wanted, code),
            "short_sale": lambda: self.short_sales(wanted, code),
        }
        if source not in makers:
            known = ", ".join(["calendar", *makers])
            raise UsageError(f"simulator source {source!r}: unknown; expected one of {known}")
        return makers[source]()

    def table(
        self, source: str, first: date, last: date | None = None, *, code: str | None = None
    ) -> pa.Table:
        """``rows`` as an Arrow table; NaN becomes null, a column with marks becomes text."""
        columns = self.rows(source, first, last, code=code)
        return pa.table({name: _arrow(values) for name, values in columns.items()})

    def warm_up(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Make everything now instead of at the first question, or until ``cancelled``."""
        for stop in range(1, self.last + 2):
            if cancelled():
                return
            self.tape.extend(stop)
            self.options.extend(stop)
            self.margin.extend(stop)
            self.indices().extend(stop)
        for book in (self.fundamentals, self._alerts, self._short_sales, self._investors):
            if cancelled():
                return
            book()


def _arrow(values: NDArray[Any]) -> pa.Array:
    if values.dtype != object:
        return pa.array(values, from_pandas=True)
    if any(isinstance(value, dict) for value in values[:1]):
        return pa.array(values.tolist())
    return pa.array([v if v is None else str(v) for v in values.tolist()], type=pa.string())


def _quarter_after(day: date) -> date:
    """Last day of the quarter after that of ``day``.

    The universe is built in whole quarters, and the list of the session after the last one is
    published before it.
    """
    quarter = (day.year * 4 + (day.month - 1) // 3) + 2  # the first one that is not needed
    first = date(quarter // 4, quarter % 4 * 3 + 1, 1)
    return date.fromordinal(first.toordinal() - 1)
