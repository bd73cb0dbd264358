"""The table of sources: one row per J-Quants v2 endpoint, and no code per endpoint.

Source: J-Quants API v2 specification, as of September 2026. To add a source: its fields in
``columns.py``, one row here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from pipeline.api.catalogue import source_fields
from pipeline.api.catalogue.fields import Field
from pipeline.api.catalogue.plans import FILES_PLAN, PLAN_BUDGET, SUMMARY_BUDGET, Plan, covers
from pipeline.errors import UsageError
from pipeline.market.calendar.as_of import Publication
from pipeline.market.closed_lists import MARKET_TIERS

#: session: one request per trading day. day: one per calendar day, because records may be
#: stamped on closed days. range: one request with ``from`` and ``to``.
Query = Literal["session", "day", "range"]


@dataclass(frozen=True)
class Endpoint:
    """One source: where it is asked, what it answers, when its rows became public.

    Attributes:
        source: our name, in cache keys and messages.
        id: name in the catalogue's inputs (``features.csv``).
        path: below the base URL.
        query: how a period is asked for.
        date_param: query parameter of the day; unused for ranges.
        date_field: column that ``date_param``, or ``from`` and ``to``, selects on.
        fields: what is sent, in wire order.
        key: columns that tell rows apart, and the row order within one day.
        plan: smallest plan that may read it.
        publication: when a row became public.
        first_date: first day with data at the vendor.
        unique: False where the vendor documents no key, so that equal rows may be two facts.
        told_apart_by: columns beside the key in which rows of one key and day may differ; unlike
            a key they may be null.
        placed_by: columns without which an ordinary share could not be placed in the universe,
            each with the values inside it: for rows with others the columns behind do not matter.
        every_session: every session has rows; an empty answer is then an error.
        empty_sessions: exceptions to ``every_session``.
        budgets: rate budgets each request draws from.
        one_file: its newest bulk file holds everything, and each plan may have it.
    """

    source: str
    id: str
    path: str
    query: Query
    date_field: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    plan: Plan
    publication: Publication
    first_date: dt.date
    date_param: str = "date"
    unique: bool = True
    told_apart_by: tuple[str, ...] = ()
    placed_by: tuple[tuple[str, tuple[str, ...]], ...] = ()
    every_session: bool = False
    empty_sessions: frozenset[dt.date] = frozenset()
    budgets: tuple[str, ...] = (PLAN_BUDGET,)
    one_file: bool = False

    def __post_init__(self) -> None:
        unknown = {*self.key, self.date_field} - set(self.schema.names)
        if unknown:
            raise ValueError(f"endpoint {self.source}: {sorted(unknown)} are not among its columns")

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the source's tables by every route and plan: the kept fields, in order."""
        return pa.schema([(field.name, field.arrow_type) for field in self.fields if field.kept])

    @cached_property
    def never_null(self) -> frozenset[str]:
        """Columns without which a row cannot be placed."""
        return frozenset((*self.key, self.date_field) if self.unique else (self.date_field,))

    @property
    def file_stem(self) -> str:
        """How the names of its bulk files begin."""
        return self.path.strip("/").replace("/", "_")

    def has_files(self, plan: Plan) -> bool:
        """True when ``plan`` may download its bulk files."""
        return covers(plan, self.plan) and (self.one_file or covers(plan, FILES_PLAN))

    def promises_rows(self, session: dt.date) -> bool:
        """True when an empty answer for a published ``session`` cannot be right."""
        past_start = session >= self.first_date
        return self.every_session and past_start and session not in self.empty_sessions

    def day_query(self, day: dt.date) -> dict[str, str]:
        """Query for the rows of one day."""
        return {self.date_param: day.isoformat()}

    def range_query(self, first: dt.date | None, last: dt.date | None) -> dict[str, str]:
        """Query for the rows of [first, last]; None leaves that end to the server."""
        ends = {"from": first, "to": last}
        return {name: day.isoformat() for name, day in ends.items() if day is not None}


_BARS_START = dt.date(2008, 5, 7)
# The whole stock market stood still; sources that count trades have no rows.
_HALTED = frozenset({dt.date(2020, 10, 1)})

_AFTER_CLOSE = Publication("Date", "16:30")
_DERIVATIVES = Publication("Date", "27:00")

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        source="trading_calendar",
        id="mkt-cal",
        path="/markets/calendar",
        query="range",
        date_field="Date",
        fields=source_fields.CALENDAR,
        key=("Date",),
        plan="free",
        # Once a year, to the end of the next one: always known a year ahead.
        publication=Publication("Date", "00:00", days=-365, unit="calendar"),
        first_date=dt.date(2008, 1, 1),
        one_file=True,
    ),
    Endpoint(
        source="listed",
        id="eq-master",
        path="/equities/master",
        query="session",
        date_field="Date",
        fields=source_fields.LISTED,
        key=("Date", "Code"),
        placed_by=(("Mkt", tuple(MARKET_TIERS)), ("S33", ())),
        plan="free",
        publication=Publication("Date", "17:30", days=-1),
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="daily_bars",
        id="eq-bars-daily",
        path="/equities/bars/daily",
        query="session",
        date_field="Date",
        fields=source_fields.DAILY_BARS,
        key=("Date", "Code"),
        plan="free",
        publication=_AFTER_CLOSE,
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="topix",
        id="idx-bars-daily-topix",
        path="/indices/bars/daily/topix",
        query="range",
        date_field="Date",
        fields=source_fields.TOPIX,
        key=("Date",),
        plan="light",
        publication=_AFTER_CLOSE,
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="indices",
        id="idx-bars-daily",
        path="/indices/bars/daily",
        query="session",
        date_field="Date",
        fields=source_fields.INDICES,
        key=("Date", "Code"),
        plan="standard",
        publication=_AFTER_CLOSE,
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="investor_types",
        id="eq-investor-types",
        path="/equities/investor-types",
        query="range",
        date_field="PubDate",
        fields=source_fields.INVESTOR_TYPES,
        key=("PubDate", "StDate", "EnDate", "Section"),
        plan="light",
        # The newest page says 16:30, older ones 18:00.
        publication=Publication("PubDate", "18:00"),
        first_date=dt.date(2008, 1, 16),
    ),
    Endpoint(
        source="fin_summary",
        id="fin-summary",
        path="/fins/summary",
        query="day",
        date_field="DiscDate",
        fields=source_fields.FIN_SUMMARY,
        key=("DiscNo",),
        # One number for several documents of one disclosure has been met, on one day. Both count.
        told_apart_by=("DocType",),
        plan="free",
        # 18:00 preliminary, 24:30 final.
        publication=Publication("DiscDate", "24:30"),
        first_date=dt.date(2008, 7, 7),
        budgets=(PLAN_BUDGET, SUMMARY_BUDGET),
    ),
    Endpoint(
        source="dividend",
        id="fin-dividend",
        path="/fins/dividend",
        query="day",
        date_field="PubDate",
        fields=source_fields.DIVIDEND,
        key=("RefNo",),
        plan="premium",
        # Hourly from 12:00; the last delivery of the day.
        publication=Publication("PubDate", "19:00"),
        first_date=dt.date(2013, 2, 20),
    ),
    Endpoint(
        source="earnings_date",
        id="fin-earnings-date",
        path="/fins/earnings-date",
        query="day",
        date_field="PubDate",
        fields=source_fields.EARNINGS_DATE,
        key=("Code", "PubDate", "FQName", "FYE"),
        plan="light",
        # Whether PubDate is the day of the report or of its delivery is not stated. The later
        # reading, delivery on the next trading morning, is after the cutoff of PubDate's own row.
        publication=Publication("PubDate", "10:05", days=1),
        first_date=dt.date(2014, 9, 1),
    ),
    Endpoint(
        source="margin_interest",
        id="mkt-margin-int",
        path="/markets/margin-interest",
        query="session",
        date_field="Date",
        fields=source_fields.MARGIN_INTEREST,
        key=("Date", "Code"),
        plan="standard",
        # Daily from Date 2026-09-25 on, at an hour that is not stated: end of PubDate. Before
        # that weekly and without PubDate: the second business day of the following week.
        publication=Publication(
            "PubDate",
            "24:00",
            otherwise=Publication("Date", "16:30", days=2, max_gap=6),
        ),
        first_date=dt.date(2012, 2, 10),
    ),
    Endpoint(
        source="margin_alert",
        id="mkt-margin-alert",
        path="/markets/margin-alert",
        query="session",
        date_field="PubDate",
        fields=source_fields.MARGIN_ALERT,
        key=("PubDate", "Code", "AppDate"),
        plan="standard",
        publication=Publication("PubDate", "16:30"),
        first_date=dt.date(2008, 5, 8),
    ),
    Endpoint(
        source="short_ratio",
        id="mkt-short-ratio",
        path="/markets/short-ratio",
        query="session",
        date_field="Date",
        fields=source_fields.SHORT_RATIO,
        key=("Date", "S33"),
        plan="standard",
        publication=_AFTER_CLOSE,
        first_date=dt.date(2008, 11, 5),
        every_session=True,
        empty_sessions=_HALTED,
    ),
    Endpoint(
        source="short_sale",
        id="mkt-short-sale",
        path="/markets/short-sale-report",
        query="session",
        date_param="disc_date",
        date_field="DiscDate",
        fields=source_fields.SHORT_SALE,
        key=("DiscDate", "CalcDate", "Code", "SSName", "DICName", "FundName"),
        plan="standard",
        publication=Publication("DiscDate", "17:30"),
        first_date=dt.date(2013, 11, 7),
        # One seller reports several clients or funds; the vendor names no key.
        unique=False,
    ),
    Endpoint(
        source="breakdown",
        id="mkt-breakdown",
        path="/markets/breakdown",
        query="session",
        date_field="Date",
        fields=source_fields.BREAKDOWN,
        key=("Date", "Code"),
        plan="premium",
        publication=Publication("Date", "18:00"),
        first_date=dt.date(2015, 4, 1),
        every_session=True,
        empty_sessions=_HALTED,
    ),
    Endpoint(
        source="futures",
        id="drv-bars-daily-fut",
        path="/derivatives/bars/daily/futures",
        query="session",
        date_field="Date",
        fields=source_fields.FUTURES,
        key=("Date", "Code", "EmMrgnTrgDiv"),
        plan="premium",
        publication=_DERIVATIVES,
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="index_option",
        id="drv-bars-daily-opt-225",
        path="/derivatives/bars/daily/options/225",
        query="session",
        date_field="Date",
        fields=source_fields.INDEX_OPTION,
        key=("Date", "Code", "EmMrgnTrgDiv"),
        plan="standard",
        publication=_DERIVATIVES,
        first_date=_BARS_START,
        every_session=True,
    ),
    Endpoint(
        source="valuation",
        id="eq-valuation",
        path="/equities/valuation",
        query="session",
        date_field="Date",
        fields=source_fields.VALUATION,
        key=("Date", "Code"),
        plan="light",
        publication=_AFTER_CLOSE,
        first_date=_BARS_START,
        every_session=True,
    ),
)

_BY_SOURCE = {endpoint.source: endpoint for endpoint in ENDPOINTS}


def endpoint_of(source: str) -> Endpoint:
    """The row of ``source``.

    Raises:
        UsageError: no such source.
    """
    found = _BY_SOURCE.get(source)
    if found is None:
        raise UsageError(f"source {source!r}: unknown; expected one of {', '.join(_BY_SOURCE)}")
    return found
