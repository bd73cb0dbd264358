"""Disclosures as numbers: statements, corrections, revisions of forecasts and of dividends.

Every figure is named as in the API's consolidated fields; NaN stands for a blank. Yen are
rounded to millions, as companies write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.array_types import stacked, taken
from pipeline.simulator.companies.company_accounts import (
    CFF,
    CFI,
    CFO,
    NP,
    ODP,
    OP,
    SALES,
    interim_part,
)
from pipeline.simulator.companies.company_traits import IFRS, US
from pipeline.simulator.companies.reporting_dates import last_session, on_session
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.array_types import BoolArray, DateArray, FloatArray, IntArray, TextArray
    from pipeline.simulator.companies.company_accounts import PeriodEnd
    from pipeline.simulator.companies.company_traits import Companies
    from pipeline.simulator.companies.reporting_dates import Agenda

STATEMENT, CORRECTION, FORECAST_REVISION, DIVIDEND_REVISION = range(4)

_FORECASTS: Final = ("Sales", "OP", "OdP", "NP")
_FIGURES = (
    "Sales OP OdP NP EPS DEPS TA Eq EqAR BPS CFO CFI CFF CashEq"
    " Div2Q DivFY DivAnn DivTotalAnn PayoutRatioAnn"
    " FDiv2Q FDivFY FDivAnn FDivTotalAnn FPayoutRatioAnn"
    " NxFDiv2Q NxFDivFY NxFDivAnn NxFPayoutRatioAnn"
    " FSales2Q FOP2Q FOdP2Q FNP2Q FEPS2Q NxFSales2Q NxFOP2Q NxFOdP2Q NxFNp2Q NxFEPS2Q"
    " FSales FOP FOdP FNP FEPS NxFSales NxFOP NxFOdP NxFNp NxFEPS"
    " ShOutFY TrShFY AvgSh ShEq ROE"
)
FIGURES: Final = tuple(_FIGURES.split())

_CORRECTED = 0.02  # of the statements
_HALF_SHARE = 0.47  # of a year's forecast
_SEPARATE = 0.6  # revisions that do not wait for the statement
_PRE_ANNOUNCED = 0.15  # results so far from the forecast that they are told before

Figures = dict[str, "FloatArray"]


@dataclass(frozen=True, eq=False)
class Disclosures:
    """One entry per document, all (n,) unless said otherwise.

    Attributes:
        kind: ``STATEMENT`` ... ``DIVIDEND_REVISION``.
        slot: issue.
        day, time: of the disclosure, HH:MM:SS.
        quarter, final, year_start, year_quarters: of the period, as in ``PeriodEnd``.
        trailing_profit: see ``PeriodEnd``; NaN but for statements.
        figures: (n,) by name, see ``FIGURES``.
    """

    kind: IntArray
    slot: IntArray
    day: DateArray
    time: TextArray
    quarter: IntArray
    final: BoolArray
    year_start: IntArray
    year_quarters: IntArray
    trailing_profit: FloatArray
    figures: Figures


class Discloser:
    """Turns books into documents.

    Args:
        seed: of the market.
        companies: traits.
        sessions: of the market.
        issued: shares outstanding of slots on sessions, ``issued(t, s)``.
        split: product of the split factors up to sessions, ``split(t, s)``.
    """

    def __init__(
        self,
        seed: int,
        companies: Companies,
        sessions: DateArray,
        issued: Callable[[IntArray, IntArray], FloatArray],
        split: Callable[[IntArray, IntArray], FloatArray],
    ) -> None:
        self._seed, self._companies, self._sessions = seed, companies, sessions
        self._issued, self._split = issued, split

    def documents(self, end: PeriodEnd, agenda: Agenda) -> Disclosures:
        """All documents about the period ends of one month."""
        rng = stream(self._seed, "disclosures", end.month)
        normal = rng.standard_normal((3, end.slot.size))
        uniform = rng.random((8, end.slot.size))
        statement = self._statement(end, agenda)
        parts = [
            statement,
            self._correction(statement, normal, uniform),
            self._forecast_revision(end, agenda, normal, uniform),
            self._dividend_revision(end, agenda, uniform),
        ]
        return stacked(parts)

    # -- statements --------------------------------------------------------------------------

    def _statement(self, end: PeriodEnd, agenda: Agenda) -> Disclosures:
        t = last_session(self._sessions, agenda.day)
        shares = self._issued(t, end.slot)
        treasury = np.round(shares * end.treasury)
        net = shares - treasury
        figures = _blank(end.slot.size)
        self._fill_results(figures, end, net)
        figures |= {"ShOutFY": shares, "TrShFY": treasury, "AvgSh": net}
        self._fill_dividends(figures, end, self._split(t, end.slot), net)
        self._fill_forecasts(figures, end, net)
        no_ordinary_profit = np.isin(self._companies.standard[end.slot], (IFRS, US))
        for name in ("OdP", "FOdP", "FOdP2Q", "NxFOdP", "NxFOdP2Q"):
            figures[name] = np.where(no_ordinary_profit, np.nan, figures[name])
        return _documents(STATEMENT, end, agenda.day, agenda.time, figures, end.trailing_profit)

    def _fill_results(self, figures: Figures, end: PeriodEnd, net: FloatArray) -> None:
        flows = end.flows
        for name, row in (("Sales", SALES), ("OP", OP), ("OdP", ODP), ("NP", NP)):
            figures[name] = _millions(flows[row])
        figures["EPS"] = np.round(figures["NP"] / net, 2)
        diluted = (end.slot % 5 == 0) & (figures["NP"] > 0)
        figures["DEPS"] = np.where(diluted, np.round(figures["EPS"] * 0.995, 2), np.nan)
        figures["TA"], figures["Eq"] = _millions(end.assets), _millions(end.equity)
        figures["EqAR"] = np.round(figures["Eq"] / np.maximum(figures["TA"], 1e6), 3)
        figures["BPS"] = np.round(figures["Eq"] / net, 2)
        figures["ShEq"] = _millions(0.97 * end.equity)
        figures["ROE"] = np.where(
            end.final, np.round(figures["NP"] / np.maximum(figures["ShEq"], 1e6), 3), np.nan
        )
        told = end.final | (end.quarter == 2)  # the cash flow statement is due twice a year
        for name, row in (("CFO", CFO), ("CFI", CFI), ("CFF", CFF)):
            figures[name] = np.where(told, _millions(flows[row]), np.nan)
        figures["CashEq"] = np.where(told, _millions(end.cash), np.nan)

    def _fill_dividends(
        self, figures: Figures, end: PeriodEnd, split: FloatArray, net: FloatArray
    ) -> None:
        interim_paid = self._companies.pays_interim[end.slot]
        whole, first_half = end.dividend, interim_part(end.dividend, interim_paid)
        decided_interim = end.quarter >= 2
        guides = self._companies.guides[end.slot]
        running, final = ~end.final & guides, end.final
        figures["Div2Q"] = _where(decided_interim, first_half * split)
        figures["DivFY"] = _where(final, (whole - first_half) * split)
        figures["DivAnn"] = _where(final, whole * split)
        figures["DivTotalAnn"] = _millions(figures["DivAnn"] * net)
        figures["PayoutRatioAnn"] = _ratio(figures["DivAnn"], figures["EPS"])
        figures["FDiv2Q"] = _where(running & ~decided_interim, first_half * split)
        figures["FDivFY"] = _where(running, (whole - first_half) * split)
        figures["FDivAnn"] = _where(running, whole * split)
        figures["FDivTotalAnn"] = _millions(figures["FDivAnn"] * net)
        figures["FPayoutRatioAnn"] = _ratio(figures["FDivAnn"], end.forecast[NP] / net)
        following = end.next_dividend
        next_half = interim_part(following, interim_paid)
        figures["NxFDiv2Q"] = _where(final & guides, next_half * split)
        figures["NxFDivFY"] = _where(final & guides, (following - next_half) * split)
        figures["NxFDivAnn"] = _where(final & guides, following * split)
        figures["NxFPayoutRatioAnn"] = _ratio(figures["NxFDivAnn"], end.next_forecast[NP] / net)

    def _fill_forecasts(self, figures: Figures, end: PeriodEnd, net: FloatArray) -> None:
        guides = self._companies.guides[end.slot]
        half = guides & self._companies.half_guides[end.slot]
        _fill_forecast(figures, "F{}", _where(guides & ~end.final, end.forecast), net)
        first = half & (end.quarter == 1) & ~end.final
        _fill_forecast(figures, "F{}2Q", _where(first, _HALF_SHARE * end.forecast), net)
        following = _where(guides & end.final, end.next_forecast)
        _fill_forecast(figures, "NxF{}", following, net)
        _fill_forecast(figures, "NxF{}2Q", _where(half, _HALF_SHARE * following), net)

    # -- what comes beside them --------------------------------------------------------------

    def _correction(
        self, statement: Disclosures, normal: FloatArray, uniform: FloatArray
    ) -> Disclosures:
        """The same period again some weeks later: other profits, no word about forecasts."""
        chosen = uniform[0] < _CORRECTED
        row = taken(statement, chosen)
        figures = dict(row.figures)
        for name in FIGURES:
            if name.startswith(("F", "NxF")):
                figures[name] = np.full(row.slot.size, np.nan)
        change = 1 + 0.08 * normal[0][chosen]
        for name in ("OP", "OdP", "NP"):
            figures[name] = _millions(figures[name] * change)
        shares = figures["ShOutFY"] - figures["TrShFY"]
        figures["EPS"] = np.round(figures["NP"] / shares, 2)
        figures["DEPS"] = np.full(row.slot.size, np.nan)
        wait = (7 + 45 * uniform[1][chosen]).astype(np.int64).astype("timedelta64[D]")
        return Disclosures(
            kind=np.full(row.slot.size, CORRECTION),
            slot=row.slot,
            day=on_session(self._sessions, row.day + wait),
            time=row.time,
            quarter=row.quarter,
            final=row.final,
            year_start=row.year_start,
            year_quarters=row.year_quarters,
            trailing_profit=np.where(
                np.isnan(row.trailing_profit),
                np.nan,
                row.trailing_profit + figures["NP"] - row.figures["NP"],
            ),
            figures=figures,
        )

    def _forecast_revision(
        self, end: PeriodEnd, agenda: Agenda, normal: FloatArray, uniform: FloatArray
    ) -> Disclosures:
        running = end.revised & ~end.final & (uniform[2] < _SEPARATE)
        chosen = running | (end.final & (uniform[2] < _PRE_ANNOUNCED))
        chosen &= self._companies.guides[end.slot]
        day = self._between(agenda, uniform[3])
        t = last_session(self._sessions, day)
        shares = self._issued(t, end.slot)
        figures = _blank(end.slot.size)
        result = end.flows[:4] * (1 + 0.01 * normal[1])
        told = np.where(end.final, result, end.forecast)
        _fill_forecast(figures, "F{}", told, shares * (1 - end.treasury))
        no_ordinary_profit = np.isin(self._companies.standard[end.slot], (IFRS, US))
        figures["FOdP"] = np.where(no_ordinary_profit, np.nan, figures["FOdP"])
        nothing = np.full(end.slot.size, np.nan)
        document = _documents(FORECAST_REVISION, end, day, agenda.time, figures, nothing)
        return taken(document, chosen)

    def _dividend_revision(
        self, end: PeriodEnd, agenda: Agenda, uniform: FloatArray
    ) -> Disclosures:
        chosen = (end.dividend != end.dividend_before) & (uniform[4] < _SEPARATE)
        day = self._between(agenda, uniform[5])
        split = self._split(last_session(self._sessions, day), end.slot)
        interim = interim_part(end.dividend, self._companies.pays_interim[end.slot])
        figures = _blank(end.slot.size)
        figures["FDiv2Q"] = np.where(end.quarter < 2, interim * split, np.nan)
        figures["FDivFY"] = (end.dividend - interim) * split
        figures["FDivAnn"] = end.dividend * split
        nothing = np.full(end.slot.size, np.nan)
        document = _documents(DIVIDEND_REVISION, end, day, agenda.time, figures, nothing)
        return taken(document, chosen)

    def _between(self, agenda: Agenda, uniform: FloatArray) -> DateArray:
        """A session after the quarter's end, at the latest that of the statement."""
        room = (agenda.planned - agenda.period_end).astype(np.float64)
        wait = np.nan_to_num(np.maximum(2, room * (0.2 + 0.8 * uniform))).astype(np.int64)
        days = np.where(np.isnat(agenda.planned), np.datetime64("NaT"), agenda.period_end)
        # Some fall on the day of the statement itself: then the numbers decide the order.
        return on_session(self._sessions, days + wait.astype("timedelta64[D]"))


def _documents(
    kind: int,
    end: PeriodEnd,
    day: DateArray,
    time: TextArray,
    figures: Figures,
    trailing_profit: FloatArray,
) -> Disclosures:
    return Disclosures(
        kind=np.full(end.slot.size, kind),
        slot=end.slot,
        day=day,
        time=time,
        quarter=end.quarter,
        final=end.final,
        year_start=end.year_start,
        year_quarters=end.year_quarters,
        trailing_profit=trailing_profit,
        figures=figures,
    )


def _fill_forecast(figures: Figures, pattern: str, amounts: FloatArray, net: FloatArray) -> None:
    """Sales to profit per share; the vendor spells two of the names with a small letter."""
    for name, row in zip(_FORECASTS, amounts, strict=True):
        spelt = "Np" if name == "NP" and pattern.startswith("Nx") else name
        figures[pattern.format(spelt)] = _millions(row)
    figures[pattern.format("EPS")] = np.round(_millions(amounts[NP]) / net, 2)


def _blank(n: int) -> Figures:
    return {name: np.full(n, np.nan) for name in FIGURES}


def _millions(yen: FloatArray) -> FloatArray:
    return np.round(yen / 1e6) * 1e6


def _where(condition: BoolArray, values: FloatArray) -> FloatArray:
    chosen: FloatArray = np.where(condition, values, np.nan)
    return chosen


def _ratio(amount: FloatArray, base: FloatArray) -> FloatArray:
    positive = np.where(base > 0, base, np.nan)
    return np.round(amount / positive, 3)
