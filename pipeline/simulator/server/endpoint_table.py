"""The table of endpoints: one row says everything the server must know about a path."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pipeline.simulator.companies.event_records import END_OF_TIME, Selection, where_equal
from pipeline.simulator.companies.summary_rows import FIELDS as SUMMARY_FIELDS
from pipeline.simulator.companies.summary_rows import NEW_FIELDS
from pipeline.simulator.exchange.order_flow import ORDERS
from pipeline.simulator.positions.investor_type_rows import GROUPS
from pipeline.simulator.server.publication_clock import (
    AFTER_CLOSE,
    EVENING_BEFORE,
    IN_THE_EVENING,
    NIGHT_AFTER,
    Publication,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.simulator.array_types import Columns
    from pipeline.simulator.synthetic_market import Market

FIELDS_OF_AUGUST_2026 = date(2026, 8, 1)
FIELDS_OF_SUMMARIES_2026 = date(2026, 9, 14)
DAILY_MARGIN_SINCE = date(2026, 9, 28)  # first delivery of daily margin balances


@dataclass(frozen=True)
class Field:
    """One key of a row.

    Attributes:
        missing: how a missing value is written.
        plan: lowest plan that gets the key at all.
        since: first date (of the clock) on which the server sends the key.
    """

    name: str
    missing: Literal[""] | None = None
    plan: str = "free"
    since: date = date.min


@dataclass(frozen=True)
class Scope:
    """What a query means after plan and clock: indices of visible sessions, and dates.

    Attributes:
        sessions: range of session indices.
        code: 4 or 5 characters, or None for all.
        as_of: newest session whose prices are out; adjusted prices know splits up to it.
        first, last: calendar dates.
        hol_div: day class asked for.
        now: wall clock in Tokyo, datetime64[m]; for rows published one by one.
        real_time: the plan gets disclosures at once.
        dates, texts: all parameters given, by name; dates as ``YYYY-MM-DD``.
    """

    sessions: range
    code: str | None
    as_of: int
    first: date
    last: date
    hol_div: str | None
    now: np.datetime64 = END_OF_TIME
    real_time: bool = False
    dates: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def selection(self) -> Selection:
        """The same for rows published one by one."""
        first, last = np.datetime64(self.first), np.datetime64(self.last)
        return Selection(first, last, self.now, self.real_time)


@dataclass(frozen=True)
class Endpoint:
    """A path of the API.

    Attributes:
        path: below the base URL.
        fields: keys of a row, in order.
        rows: makes the rows; columns in any order, by field name.
        plan: lowest plan.
        combinations: sets of parameters that may be given together.
        one_of: at least one of these must be given; empty when all are optional.
        publication: when a row of session T is out; None when known in advance, and for rows
            published one by one.
        axis: what ``date``, ``from`` and ``to`` select. ``sessions``: rows of these dates;
            ``listing``: the list in force on a date; ``days``: calendar dates; ``records``:
            rows published one by one, by a date of their own.
        paged: whether long answers are cut into pages.
    """

    path: str
    fields: tuple[Field, ...]
    rows: Callable[[Market, Scope], Columns]
    plan: str
    combinations: frozenset[frozenset[str]]
    one_of: tuple[str, ...] = ()
    publication: Publication | None = None
    axis: Literal["sessions", "listing", "days", "records"] = "sessions"
    paged: bool = True

    @property
    def params(self) -> tuple[str, ...]:
        """All parameters the endpoint knows, sorted."""
        return tuple(sorted(frozenset().union(*self.combinations)))


def _combinations(*texts: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(text.split()) for text in texts)


def _fields(names: str, missing: Literal[""] | None = None, plan: str = "free") -> list[Field]:
    return [Field(name, missing, plan) for name in names.split()]


_BLOCK = "O H L C UL LL Vo Va"
_ADJUSTED = "AdjO AdjH AdjL AdjC AdjVo"


def _session_block(prefix: str) -> list[Field]:
    names = " ".join(prefix + name for name in f"{_BLOCK} {_ADJUSTED}".split())
    return _fields(names, plan="premium")


_MARGIN_VALUES = "ShrtVal LongVal ShrtNegVal LongNegVal ShrtStdVal LongStdVal"
_MARGIN_AMOUNTS = [Field(name, since=DAILY_MARGIN_SINCE) for name in _MARGIN_VALUES.split()]

_BARS_QUERIES = _combinations("code", "code date", "code from to", "code from", "code to", "date")
_RANGE_QUERIES = _combinations("", "from to", "from", "to")

ENDPOINTS: Final = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint(
            path="/markets/calendar",
            fields=tuple(_fields("Date HolDiv")),
            rows=lambda market, scope: where_equal(
                market.calendar_days(scope.first, scope.last), "HolDiv", scope.hol_div
            ),
            plan="free",
            combinations=_RANGE_QUERIES
            | _combinations("hol_div", "hol_div from to", "hol_div from", "hol_div to"),
            axis="days",
            paged=False,
        ),
        Endpoint(
            path="/equities/master",
            fields=tuple(
                _fields(
                    "Date Code CoName CoNameEn S17 S17Nm S33 S33Nm ScaleCat Mkt MktNm"
                    " Mrgn MrgnNm ProdCat"
                )
            ),
            rows=lambda market, scope: market.listed(scope.sessions, scope.code),
            plan="free",
            combinations=_combinations("", "code", "date", "code date"),
            publication=EVENING_BEFORE,
            axis="listing",
        ),
        Endpoint(
            path="/equities/bars/daily",
            fields=(
                *_fields(f"Date Code {_BLOCK} AdjFactor {_ADJUSTED}"),
                *_session_block("M"),
                *_session_block("A"),
                Field("MktCap", since=FIELDS_OF_AUGUST_2026),
                Field("ExRT", since=FIELDS_OF_AUGUST_2026),
            ),
            rows=lambda market, scope: market.daily_bars(scope.sessions, scope.code, scope.as_of),
            plan="free",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            publication=AFTER_CLOSE,
        ),
        Endpoint(
            path="/indices/bars/daily/topix",
            fields=tuple(_fields("Date O H L C")),
            rows=lambda market, scope: market.topix(scope.sessions),
            plan="light",
            combinations=_RANGE_QUERIES,
            publication=AFTER_CLOSE,
        ),
        Endpoint(
            path="/derivatives/bars/daily/options/225",
            fields=(
                *_fields("Date Code O H L C"),
                *_fields("EO EH EL EC", missing=""),
                *_fields(
                    "AO AH AL AC Vo OI Va CM Strike VoOA EmMrgnTrgDiv PCDiv LTD SQD"
                    " Settle Theo BaseVol UnderPx IV IR"
                ),
            ),
            rows=lambda market, scope: market.index_options(scope.sessions),
            plan="standard",
            combinations=_combinations("date"),
            one_of=("date",),
            publication=NIGHT_AFTER,
        ),
        Endpoint(
            path="/derivatives/bars/daily/futures",
            fields=(
                *_fields("Code ProdCat Date O H L C"),
                *_fields("MO MH ML MC EO EH EL EC", missing=""),
                *_fields("AO AH AL AC Vo OI Va CM VoOA EmMrgnTrgDiv LTD SQD Settle CCMFlag"),
            ),
            rows=lambda market, scope: where_equal(
                where_equal(market.futures(scope.sessions), "ProdCat", scope.texts.get("category")),
                "CCMFlag",
                scope.texts.get("contract_flag"),
            ),
            plan="premium",
            combinations=_combinations(
                "date", "date category", "date contract_flag", "date category contract_flag"
            ),
            one_of=("date",),
            publication=NIGHT_AFTER,
        ),
        Endpoint(
            path="/indices/bars/daily",
            fields=tuple(_fields("Date Code O H L C")),
            rows=lambda market, scope: market.index_bars(scope.sessions, scope.code),
            plan="standard",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            publication=AFTER_CLOSE,
        ),
        Endpoint(
            path="/equities/valuation",
            fields=tuple(_fields("Date Code EPS FwdEPS BPS ROE FwdROE PER FwdPER PBR MktCap")),
            rows=lambda market, scope: market.valuations(scope.sessions, scope.code),
            plan="light",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            publication=AFTER_CLOSE,
        ),
        Endpoint(
            path="/equities/investor-types",
            fields=tuple(
                _fields(
                    "PubDate StDate EnDate Section "
                    + " ".join(f"{g}Sell {g}Buy {g}Tot {g}Bal" for g in GROUPS)
                )
            ),
            rows=lambda market, scope: where_equal(
                market.investor_types(scope.selection), "Section", scope.texts.get("section")
            ),
            plan="light",
            combinations=_RANGE_QUERIES
            | _combinations("section", "section from to", "section from", "section to"),
            axis="records",
        ),
        Endpoint(
            path="/fins/summary",
            fields=tuple(
                Field(name, since=FIELDS_OF_SUMMARIES_2026 if name in NEW_FIELDS else date.min)
                for name in SUMMARY_FIELDS
            ),
            rows=lambda market, scope: market.summaries(scope.selection, scope.code),
            plan="free",
            combinations=_combinations("code", "date", "code date"),
            one_of=("date", "code"),
            axis="records",
        ),
        Endpoint(
            path="/fins/dividend",
            fields=tuple(
                _fields(
                    "PubDate PubTime Code RefNo StatCode BoardDate IFCode FRCode IFTerm DivRate"
                    " RecDate ExDate ActRecDate PayDate CARefNo DistAmt RetEarn DeemDiv"
                    " DeemCapGains NetAssetDecRatio CommSpecCode CommDivRate SpecDivRate"
                )
            ),
            rows=lambda market, scope: market.dividends(scope.selection, scope.code),
            plan="premium",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            axis="records",
        ),
        Endpoint(
            path="/fins/earnings-date",
            fields=tuple(_fields("PubDate SchDate FQName FYE Code CoName CoNameEn")),
            rows=lambda market, scope: market.earnings_dates(
                scope.selection, scope.code, scope.dates.get("scheduled_date")
            ),
            plan="light",
            combinations=_combinations("code", "date", "scheduled_date"),
            one_of=("code", "date", "scheduled_date"),
            axis="records",
        ),
        Endpoint(
            path="/markets/margin-interest",
            # Nine keys in another order until the daily era: a row keeps the first place of a
            # name, and the first IssType comes with the era.
            fields=(
                Field("PubDate", since=DAILY_MARGIN_SINCE),
                *_fields("Date Code"),
                Field("IssType", since=DAILY_MARGIN_SINCE),
                *_fields("ShrtVol LongVol ShrtNegVol LongNegVol ShrtStdVol LongStdVol"),
                *_MARGIN_AMOUNTS,
                Field("IssType"),
            ),
            rows=lambda market, scope: market.margin_interest(
                scope.selection, scope.code, scope.dates.get("published_date")
            ),
            plan="standard",
            combinations=_BARS_QUERIES | _combinations("published_date", "code published_date"),
            one_of=("date", "code", "published_date"),
            axis="records",
        ),
        Endpoint(
            path="/markets/margin-alert",
            fields=tuple(
                _fields(
                    "PubDate Code AppDate PubReason ShrtOut ShrtOutChg ShrtOutRatio LongOut"
                    " LongOutChg LongOutRatio SLRatio ShrtNegOut ShrtNegOutChg ShrtStdOut"
                    " ShrtStdOutChg LongNegOut LongNegOutChg LongStdOut LongStdOutChg"
                    " TSEMrgnRegCls"
                )
            ),
            rows=lambda market, scope: market.margin_alerts(scope.selection, scope.code),
            plan="standard",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            axis="records",
        ),
        Endpoint(
            path="/markets/short-ratio",
            fields=tuple(_fields("Date S33 SellExShortVa ShrtWithResVa ShrtNoResVa")),
            rows=lambda market, scope: where_equal(
                market.short_ratio(scope.sessions), "S33", _industry(scope.texts.get("s33"))
            ),
            plan="standard",
            combinations=_combinations(
                "date", "s33", "s33 from to", "s33 from", "s33 to", "s33 date"
            ),
            one_of=("date", "s33"),
            publication=AFTER_CLOSE,
        ),
        Endpoint(
            path="/markets/short-sale-report",
            fields=tuple(
                _fields(
                    "DiscDate CalcDate Code SSName SSAddr DICName DICAddr FundName ShrtPosToSO"
                    " ShrtPosShares ShrtPosUnits PrevRptDate PrevRptRatio Notes"
                )
            ),
            rows=lambda market, scope: where_equal(
                market.short_sales(scope.selection, scope.code),
                "CalcDate",
                scope.dates.get("calc_date"),
            ),
            plan="standard",
            combinations=_combinations(
                "code",
                "code disc_date",
                "code disc_date_from disc_date_to",
                "code disc_date_from",
                "code disc_date_to",
                "code calc_date",
                "disc_date",
                "calc_date",
            ),
            one_of=("code", "disc_date", "calc_date"),
            axis="records",
        ),
        Endpoint(
            path="/markets/breakdown",
            fields=tuple(
                _fields(
                    " ".join(
                        ["Date Code", *(name + unit for unit in ("Va", "Vo") for name in ORDERS)]
                    )
                )
            ),
            rows=lambda market, scope: market.breakdown(scope.sessions, scope.code),
            plan="premium",
            combinations=_BARS_QUERIES,
            one_of=("date", "code"),
            publication=IN_THE_EVENING,
        ),
    )
}


def _industry(code: str | None) -> str | None:
    """Codes of industries may come without their leading zeros."""
    return None if code is None else code.zfill(4)
