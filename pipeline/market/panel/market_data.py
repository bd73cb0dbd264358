"""Everything a feature may look at, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipeline.market.books.announcement_dates import EarningsSchedule
from pipeline.market.books.dividend_book import DividendNotices
from pipeline.market.books.earnings_reaction import EarningsEvents
from pipeline.market.books.forecasts import Forecasts
from pipeline.market.books.statements import Statements
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.market.derivatives.futures_quotes import FuturesQuotes
from pipeline.market.derivatives.option_quotes import OptionQuotes
from pipeline.market.panel.axis import Axis
from pipeline.market.panel.benchmark_levels import IndexCloses, Topix
from pipeline.market.panel.carried_close import own_basis_returns
from pipeline.market.panel.intraday_bars import DayParts, LimitFlags
from pipeline.market.panel.price_panel import BoolArray, FloatArray, Panel
from pipeline.market.positioning.investor_flows import InvestorFlows
from pipeline.market.positioning.margin_balance import MarginRecords
from pipeline.market.positioning.margin_disclosures import MarginAlerts
from pipeline.market.positioning.order_breakdown import Breakdown
from pipeline.market.positioning.sector_short_selling import ShortRatios
from pipeline.market.positioning.short_reports import ShortReports


@dataclass(frozen=True, eq=False)
class Master:
    """Master records, codes x columns of the panel; NaN where none is dated that day.

    Attributes:
        listed: True where the code has a master record dated that day.
        tier: 1 Prime and first section, 2 Standard and the like, 3 Growth and the like.
        s17: TOPIX-17 sector number; NaN for 99.
        s33: 33-industry number; NaN for 9999.
        scale: ordinal of the TOPIX size bucket, 0 (none) to 5 (Core30); NaN for an unknown one.
        margin: margin class 1, 2 or 3.
        universe: True where the code belongs to the universe of that day.
        adj_factor: AdjFactor of the column's own date, 1 where none.
    """

    listed: BoolArray
    tier: FloatArray
    s17: FloatArray
    s33: FloatArray
    scale: FloatArray
    margin: FloatArray
    universe: BoolArray
    adj_factor: FloatArray


@dataclass(frozen=True, eq=False)
class Market:
    """One chunk's inputs, warm-up included. A source that is unavailable has no records.

    Attributes:
        panel: bars, lines x columns.
        master: listing records, codes x columns.
        calendar: published trading days, beyond the last column too.
        axis: codes and columns of everything else here.
        close: (codes, columns) carried close in yen, in the basis of the column's own date.
        parts: morning and afternoon bars.
        limits: touched price limits.
        topix, indices: index levels per column.
        options, futures: derivatives quotes per column.
        flows: weekly trading by investor type.
        short_ratio: short selling per sector and column.
        breakdown: trading by kind of order, codes x columns.
        margin, alerts, short_reports: margin balances, daily margin disclosures, reported short
            positions, by code as of each column.
        schedule, reactions: announced dates of reports, and reactions to reports.
        statements, forecasts, dividends: the books of each code as of each column.
    """

    panel: Panel
    master: Master
    calendar: TradingCalendar
    axis: Axis
    close: FloatArray
    parts: DayParts
    limits: LimitFlags
    topix: Topix
    indices: IndexCloses
    options: OptionQuotes
    futures: FuturesQuotes
    flows: InvestorFlows
    short_ratio: ShortRatios
    breakdown: Breakdown
    margin: MarginRecords
    alerts: MarginAlerts
    short_reports: ShortReports
    schedule: EarningsSchedule
    reactions: EarningsEvents
    statements: Statements
    forecasts: Forecasts
    dividends: DividendNotices

    @cached_property
    def returns(self) -> FloatArray:
        """(codes, columns) simple return of ``close``, in the basis of the column's own date."""
        return own_basis_returns(self.close, self.axis.adj_factor)

    @cached_property
    def mktcap(self) -> FloatArray:
        """(codes, columns) market value in yen: carried close x shares of the statement book."""
        return self.close * self.statements.shares
