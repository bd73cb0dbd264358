"""The table of endpoints: one row says everything the server must know about a path."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, Literal

from pipeline.simulator.publication import (
    AFTER_CLOSE,
    EVENING_BEFORE,
    NIGHT_AFTER,
    Publication,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.arrays import Columns
    from pipeline.simulator.market import Market

FIELDS_OF_AUGUST_2026 = date(2026, 8, 1)


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
    """

    sessions: range
    code: str | None
    as_of: int
    first: date
    last: date
    hol_div: str | None


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
        publication: when a row of T is out; None when known in advance.
        axis: what ``date``, ``from`` and ``to`` select. ``sessions``: rows of these dates;
            ``listing``: the list in force on a date; ``days``: calendar dates.
        paged: whether long answers are cut into pages.
    """

    path: str
    fields: tuple[Field, ...]
    rows: Callable[[Market, Scope], Columns]
    plan: str
    combinations: frozenset[frozenset[str]]
    one_of: tuple[str, ...] = ()
    publication: Publication | None = None
    axis: Literal["sessions", "listing", "days"] = "sessions"
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


_BARS_QUERIES = _combinations("code", "code date", "code from to", "code from", "code to", "date")
_RANGE_QUERIES = _combinations("", "from to", "from", "to")

ENDPOINTS: Final = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint(
            path="/markets/calendar",
            fields=tuple(_fields("Date HolDiv")),
            rows=lambda market, scope: _days_of_class(
                market.calendar_days(scope.first, scope.last), scope.hol_div
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
    )
}


def _days_of_class(days: Columns, hol_div: str | None) -> Columns:
    if hol_div is None:
        return days
    return {name: values[days["HolDiv"] == hol_div] for name, values in days.items()}
