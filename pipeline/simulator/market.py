"""The synthetic market: everything the simulated exchange knows, made on demand.

Benchmarks and tests read it directly, without HTTP::

    market = Market(MarketSpec(seed=7, stocks=200, start=date(2023, 1, 1), end=date(2024, 6, 30)))
    bars = market.rows("daily_bars", date(2024, 6, 3))            # columns of one date
    bars = market.rows("daily_bars", date(2024, 4, 1), date(2024, 6, 28), code="13010")
    table = market.table("index_options", date(2024, 6, 3))       # the same as a pyarrow table

Sources: ``calendar``, ``listed``, ``daily_bars``, ``topix``, ``index_options``. Columns stand in
the order of the API's fields; numbers are float64 with NaN for a missing value, text is str.
Adjusted prices are as of the market's last session, unless ``as_of`` says otherwise.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.simulator import sources
from pipeline.simulator.arrays import Columns, IntArray, iso_dates
from pipeline.simulator.calendar import TokyoCalendar, day_classes
from pipeline.simulator.factors import make_factors
from pipeline.simulator.options import OptionTape
from pipeline.simulator.prices import PriceTape
from pipeline.simulator.universe import make_universe

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.spec import MarketSpec


class Market:
    """A market made from a spec.

    Attributes:
        spec: what it was made from.
        calendar: sessions from ``spec.start`` to the end of the quarter after ``spec.end``.
        last: index of the last session with prices, the one at or before ``spec.end``.
        universe, factors, tape, options: the parts; the two tapes are filled on demand, which
            any thread may cause.
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
        self.names, self.english_names = sources.issue_names(self.universe.issues)

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
        return sources.listed(self, sessions, self.slots(code))

    def daily_bars(self, sessions: range, code: str | None, as_of: int) -> Columns:
        """Daily bars of consecutive sessions, adjusted for the splits up to ``as_of``."""
        self.tape.extend(max(sessions.stop, as_of + 1))
        return sources.daily_bars(self, sessions, self.slots(code), as_of)

    def topix(self, sessions: range) -> Columns:
        return sources.topix(self, sessions)

    def index_options(self, sessions: range) -> Columns:
        return sources.index_options(self, sessions)

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
            code: 4 or 5 characters, only for ``listed`` and ``daily_bars``.

        Raises:
            UsageError: the source is unknown.
        """
        last = first if last is None else last
        if source == "calendar":
            return self.calendar_days(first, last)
        start = self.calendar.at_or_after(np.datetime64(first))
        stop = min(self.calendar.at_or_before(np.datetime64(last)), self.last) + 1
        sessions = range(start, max(start, stop))
        makers: Final[dict[str, Callable[[], Columns]]] = {
            "listed": lambda: self.listed(sessions, code),
            "daily_bars": lambda: self.daily_bars(sessions, code, self.last),
            "topix": lambda: self.topix(sessions),
            "index_options": lambda: self.index_options(sessions),
        }
        if source not in makers:
            known = ", ".join(["calendar", *makers])
            raise UsageError(f"simulator source {source!r}: unknown; expected one of {known}")
        return makers[source]()

    def table(
        self, source: str, first: date, last: date | None = None, *, code: str | None = None
    ) -> pa.Table:
        """``rows`` as an Arrow table; NaN becomes null."""
        columns = self.rows(source, first, last, code=code)
        return pa.table(
            {
                name: pa.array(values, type=_arrow_type(values.dtype), from_pandas=True)
                for name, values in columns.items()
            }
        )

    def warm_up(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Make everything now instead of at the first question, or until ``cancelled``."""
        for stop in range(1, self.last + 2):
            if cancelled():
                return
            self.tape.extend(stop)
            self.options.extend(stop)


def _arrow_type(dtype: np.dtype[np.generic]) -> pa.DataType:
    return pa.string() if dtype.kind == "O" else pa.float64()


def _quarter_after(day: date) -> date:
    """Last day of the quarter after that of ``day``.

    The universe is built in whole quarters, and the list of the session after the last one is
    published before it.
    """
    quarter = (day.year * 4 + (day.month - 1) // 3) + 2  # the first one that is not needed
    first = date(quarter // 4, quarter % 4 * 3 + 1, 1)
    return date.fromordinal(first.toordinal() - 1)
