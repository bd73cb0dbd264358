"""Everything that companies tell: their books, when they report, and the records made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import stacked, taken
from pipeline.simulator.companies.company_accounts import Ledger
from pipeline.simulator.companies.disclosures import Discloser, Disclosures
from pipeline.simulator.companies.dividend_notices import dividend_records, make_notices
from pipeline.simulator.companies.reporting_dates import last_session, make_agenda
from pipeline.simulator.companies.schedule_rows import ScheduleBook, make_schedules
from pipeline.simulator.companies.summary_rows import summary_records
from pipeline.simulator.companies.valuation_rows import ValuationBook
from pipeline.simulator.exchange.exchange_calendar import tokyo_sessions

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, DateArray, IntArray
    from pipeline.simulator.companies.event_records import Records
    from pipeline.simulator.synthetic_market import Market

_NOTICE_MONTHS = 2  # dividend notices precede their record date by up to two months


@dataclass(frozen=True, eq=False)
class Fundamentals:
    """Records of the companies' own sources, over the whole market.

    Attributes:
        disclosures: documents from before the market opens to its end.
        summary, dividends: records of ``/fins/summary`` and ``/fins/dividend``.
        schedules: of ``/fins/earnings-date``.
        valuation: what is in force on each session.
    """

    disclosures: Disclosures
    summary: Records
    dividends: Records
    schedules: ScheduleBook
    valuation: ValuationBook


def make_fundamentals(market: Market) -> Fundamentals:
    """Run all books; needs the splits, hence the prices, up to the market's end."""
    seed, universe = market.spec.seed, market.universe
    sessions, issues = universe.sessions, universe.issues
    companies = market.companies
    ledger = Ledger(seed, universe, companies, market.factors)
    discloser = Discloser(seed, companies, sessions, market.issued, market.split)
    documents, notices, schedules = [], [], []
    last_month = int(np.datetime64(market.spec.end, "M").astype(np.int64))
    for end in ledger.run(last_month + _NOTICE_MONTHS):
        agenda = make_agenda(seed, end, companies, sessions)
        documents.append(discloser.documents(end, agenda))
        notices.append(make_notices(seed, end, agenda, companies, sessions, market.split))
        schedules.append(make_schedules(seed, end, agenda, sessions))
    told, noticed = stacked(documents), stacked(notices)
    plans = stacked(schedules)
    told = taken(told, _happens(market, told.day, told.slot))
    noticed = taken(noticed, _happens(market, noticed.day, noticed.slot))
    plans = taken(plans, _happens(market, plans.day, plans.slot))
    return Fundamentals(
        disclosures=told,
        summary=summary_records(told, companies, issues.code),
        dividends=dividend_records(noticed, tokyo_sessions(sessions[-1]), issues.code),
        schedules=ScheduleBook(plans, issues.code, market.names, market.english_names),
        valuation=ValuationBook(told, sessions, market.split),
    )


def _happens(market: Market, day: DateArray, slot: IntArray) -> BoolArray:
    """True up to the market's end while the issue is listed; NaT never happens."""
    sessions = market.universe.sessions
    listed = market.universe.listed[last_session(sessions, day), slot]
    happens: BoolArray = listed & (day <= np.datetime64(market.spec.end))
    return happens
