"""From raw tables to the arrays features work on.

1. ``_axis``: which column each record belongs to.
2. ``_master``: listing records as codes x columns, and the universe.
3. ``_raw_bars``: bars as codes x columns, unadjusted, null without a trade.
4. ``_split_into_lines``: one line per listing and price basis (see ``market.panel``).
5. ``_adjusted``: prices and shares of each line in the line's basis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.market import closed_lists
from pipeline.market.books import (
    announcement_dates,
    dividend_book,
    earnings_reaction,
    forecasts,
    statements,
)
from pipeline.market.calendar.sessions import DateArray, TradingCalendar
from pipeline.market.derivatives import futures_quotes as futures
from pipeline.market.derivatives import option_quotes as options
from pipeline.market.panel import benchmark_levels, intraday_bars
from pipeline.market.panel.axis import NOWHERE, Axis, Source, dates_of, positions
from pipeline.market.panel.carried_close import carried_closes
from pipeline.market.panel.market_data import Market, Master
from pipeline.market.panel.price_panel import RELIST_GAP, BoolArray, FloatArray, Panel
from pipeline.market.panel.universe import members
from pipeline.market.positioning import investor_flows as flows
from pipeline.market.positioning import (
    margin_balance,
    margin_disclosures,
    order_breakdown,
    sector_short_selling,
    short_reports,
)
from pipeline.market.texts import encoded

IndexArray: TypeAlias = NDArray[np.int64]

BAR_FIELDS = ("O", "H", "L", "C", "Vo", "Va")


#: Columns before the wanted ones on which some features compare all members of the day (peers of
#: 120 days, estimated up to a week ago). Who left the market in them is on the axis too.
COMPARED_COLUMNS = 140


def _union(*columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in columns for name in names))


#: Columns read of every source.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "daily_bars": _union(("Date", "Code", *BAR_FIELDS, "AdjFactor"), intraday_bars.COLUMNS),
    "listed": ("Date", "Code", "Mkt", "S17", "S33", "ScaleCat", "Mrgn"),
    "topix": benchmark_levels.TOPIX_COLUMNS,
    "indices": benchmark_levels.INDICES_COLUMNS,
    "investor_types": flows.COLUMNS,
    "fin_summary": _union(statements.COLUMNS, forecasts.COLUMNS, earnings_reaction.COLUMNS),
    "dividend": dividend_book.COLUMNS,
    "earnings_date": announcement_dates.COLUMNS,
    "margin_interest": margin_balance.COLUMNS,
    "margin_alert": margin_disclosures.COLUMNS,
    "short_ratio": sector_short_selling.COLUMNS,
    "short_sale": short_reports.COLUMNS,
    "breakdown": order_breakdown.COLUMNS,
    "futures": futures.COLUMNS,
    "index_option": options.COLUMNS,
}


class EmptyUniverse(PipelineError):
    """No ordinary share is listed on any wanted session."""


@dataclass(frozen=True)
class Line:
    """One listing of one code in one price basis; columns count from the panel's start."""

    code: int
    listed_from: int  # first column of the listing
    listed_to: int  # one past its last column
    first: int  # first wanted column it answers for
    stop: int  # one past the last one


def assemble(
    sources: Mapping[str, Source],
    calendar: TradingCalendar,
    sessions: DateArray,
    n_out: int,
) -> Market:
    """All inputs of a chunk as dense arrays.

    Args:
        sources: every source of ``COLUMNS`` with at least those columns; without rows where it
            is unavailable, which listing records must not be.
        calendar: published trading days.
        sessions: (columns,) the panel's columns, warm-up included.
        n_out: number of trailing columns wanted.

    Raises:
        EmptyUniverse: nobody is listed on the wanted columns.
        UnknownMember: a coded field on which the place of a row hangs holds an unknown value.
    """
    codes, master = _master(sources["listed"].table, sessions, n_out)
    raw, factors = _raw_bars(sources["daily_bars"].table, codes, sessions, master.listed)
    master.adj_factor[:] = factors
    panel = _panel(raw, factors, master.listed, codes, sessions, n_out)
    axis = Axis(codes, sessions, n_out, calendar, factors)
    return Market(
        panel=panel,
        master=master,
        calendar=calendar,
        axis=axis,
        close=carried_closes(raw["C"], factors),
        parts=intraday_bars.day_parts(sources["daily_bars"], axis),
        limits=intraday_bars.limit_flags(sources["daily_bars"], axis),
        topix=benchmark_levels.topix(sources["topix"], axis),
        indices=benchmark_levels.index_closes(sources["indices"], axis),
        options=options.option_quotes(sources["index_option"].table, sessions),
        futures=futures.futures_quotes(sources["futures"], axis),
        flows=flows.investor_flows(sources["investor_types"], axis),
        short_ratio=sector_short_selling.short_ratios(sources["short_ratio"], axis),
        breakdown=order_breakdown.breakdown(sources["breakdown"], axis),
        margin=margin_balance.margin_records(sources["margin_interest"], axis),
        alerts=margin_disclosures.margin_alerts(sources["margin_alert"], axis),
        short_reports=short_reports.short_reports(sources["short_sale"], axis),
        schedule=announcement_dates.earnings_schedule(sources["earnings_date"], axis),
        reactions=earnings_reaction.earnings_events(sources["fin_summary"], axis),
        statements=statements.statements(sources["fin_summary"], axis),
        forecasts=forecasts.forecasts(sources["fin_summary"], axis),
        dividends=dividend_book.dividend_notices(sources["dividend"], axis),
    )


def _axis(table: pa.Table, sessions: DateArray) -> tuple[IndexArray, BoolArray]:
    """(rows,) column of each record and whether its date is on the axis at all."""
    dates = dates_of(table["Date"])
    column = np.searchsorted(sessions, dates)
    inside = column < sessions.size
    inside[inside] = sessions[column[inside]] == dates[inside]
    return column, inside


def _master(table: pa.Table, sessions: DateArray, n_out: int) -> tuple[NDArray[np.str_], Master]:
    column, inside = _axis(table, sessions)
    row_code, texts = encoded(table["Code"])
    member = inside.copy()
    member[inside] = members(table.filter(pa.array(inside)))

    first = sessions.size - n_out
    names = np.array(texts, dtype=np.str_)
    codes = np.unique(names[row_code[member & (column >= first - COMPARED_COLUMNS)]])
    if not bool((member & (column >= first)).any()):
        raise EmptyUniverse(
            f"no ordinary share of the three market tiers is listed between "
            f"{sessions[-n_out]} and {sessions[-1]}",
            "check the listed snapshot of these days",
        )
    position = positions(names, codes)[row_code]
    keep = inside & (position != NOWHERE)
    at = (position[keep], column[keep])

    def dense(values: FloatArray) -> FloatArray:
        grid = np.full((codes.size, sessions.size), np.nan)
        grid[at] = values[keep]
        return grid

    def flags(values: BoolArray) -> BoolArray:
        grid = np.zeros((codes.size, sessions.size), dtype=bool)
        grid[at] = values[keep]
        return grid

    master = Master(
        listed=flags(inside),
        tier=dense(closed_lists.MARKET.decode(table["Mkt"])),
        s17=dense(closed_lists.SECTOR17.decode(table["S17"])),
        s33=dense(closed_lists.INDUSTRY.decode(table["S33"])),
        scale=dense(closed_lists.SCALE.decode(table["ScaleCat"])),
        margin=dense(closed_lists.MARGIN_CLASS.decode(table["Mrgn"])),
        universe=flags(member),
        adj_factor=np.ones((codes.size, sessions.size)),
    )
    return codes, master


def _raw_bars(
    table: pa.Table, codes: NDArray[np.str_], sessions: DateArray, listed: BoolArray
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Bars, codes x columns, null without a trade or a master record; and AdjFactor."""
    column, inside = _axis(table, sessions)
    row_code, texts = encoded(table["Code"])
    position = positions(np.array(texts, dtype=np.str_), codes)[row_code]
    keep = inside & (position != NOWHERE)
    at = (position[keep], column[keep])

    def dense(field: str, empty: float) -> FloatArray:
        grid = np.full((codes.size, sessions.size), empty)
        grid[at] = table[field].to_numpy()[keep]
        return grid

    raw = {field: dense(field, np.nan) for field in BAR_FIELDS}
    traded = listed & ~np.isnan(raw["C"]) & (raw["Vo"] > 0)
    for grid in raw.values():
        grid[~traded] = np.nan
    factors = dense("AdjFactor", 1.0)
    factors[np.isnan(factors)] = 1.0
    return raw, factors


def _panel(
    raw: dict[str, FloatArray],
    factors: FloatArray,
    listed: BoolArray,
    codes: NDArray[np.str_],
    sessions: DateArray,
    n_out: int,
) -> Panel:
    lines = _split_into_lines(listed, factors, sessions.size - n_out)
    row = np.array([line.code for line in lines], dtype=np.int64)
    columns = np.arange(sessions.size)
    start = np.array([[line.listed_from] for line in lines])
    end = np.array([[line.listed_to] for line in lines])
    basis_end = np.array([[line.stop] for line in lines])
    own = (columns >= start) & (columns < end)

    known = np.where(columns < basis_end, factors[row], 1.0)
    to_basis = _product_after(known)
    first_wanted = sessions.size - n_out
    fields = {name: np.where(own, raw[name][row], np.nan) for name in BAR_FIELDS}
    return Panel(
        sessions=sessions,
        n_out=n_out,
        codes=codes,
        line_code=row.astype(np.int32),
        line_first=np.array([line.first - first_wanted for line in lines], dtype=np.int32),
        line_stop=np.array([line.stop - first_wanted for line in lines], dtype=np.int32),
        o=fields["O"] * to_basis,
        h=fields["H"] * to_basis,
        l=fields["L"] * to_basis,
        c=fields["C"] * to_basis,
        v=fields["Vo"] / to_basis,
        va=fields["Va"],
        listed=listed[row] & own,
        adj_factor=factors[row],
    )


def _product_after(factors: FloatArray) -> FloatArray:
    """K(u, end]: product of the factors of all later columns, multiplied newest first.

    The order of multiplication starts at the basis, so the product does not depend on how far
    the array reaches back or forth.
    """
    product = np.ones_like(factors)
    product[:, :-1] = np.cumprod(factors[:, :0:-1], axis=1)[:, ::-1]
    return product


def _split_into_lines(listed: BoolArray, factors: FloatArray, first_wanted: int) -> list[Line]:
    """Lines of all codes: the newest line of code i at place i, then the older ones."""
    newest: list[Line] = []
    older: list[Line] = []
    splits = factors != 1.0
    for code in range(listed.shape[0]):
        lines = _lines_of(code, listed[code], splits[code], first_wanted)
        newest.append(lines[-1])
        older.extend(lines[:-1])
    return newest + older


def _lines_of(code: int, listed: BoolArray, splits: BoolArray, first_wanted: int) -> list[Line]:
    n_columns = listed.size
    days = np.flatnonzero(listed)
    breaks = np.flatnonzero(np.diff(days) > RELIST_GAP + 1)
    starts = [int(days[0]), *(int(days[b + 1]) for b in breaks)]
    ends = [*(int(days[b]) + 1 for b in breaks), n_columns]
    lines: list[Line] = []
    for start, end in zip(starts, ends, strict=True):
        if end <= first_wanted:
            continue
        begin = max(start, first_wanted)
        ex_dates = [int(u) for u in np.flatnonzero(splits[begin + 1 : end]) + begin + 1]
        edges = [begin, *ex_dates, end]
        lines += [Line(code, start, end, first, stop) for first, stop in pairwise(edges)]
    return lines
