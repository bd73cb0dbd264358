"""Dividend notices: chains of a forecast, its corrections and the decision.

Two months before a record date the issuer announces what it expects, sometimes without an
amount. The board decides on the day of the earnings report; that notice corrects the first one
and carries its number. Few notices are corrected in between, fewer withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import iso_dates, stacked, taken
from pipeline.simulator.companies.company_accounts import interim_part
from pipeline.simulator.companies.event_records import Records, moment, sorted_records
from pipeline.simulator.companies.reporting_dates import last_session, on_session
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.simulator.array_types import (
        BoolArray,
        Columns,
        DateArray,
        FloatArray,
        IntArray,
        TextArray,
    )
    from pipeline.simulator.companies.company_accounts import PeriodEnd
    from pipeline.simulator.companies.company_traits import Companies
    from pipeline.simulator.companies.reporting_dates import Agenda

NEW, CORRECTED, DELETED = "1", "2", "3"
DECIDED, FORECAST = "1", "2"
UNDECIDED, NOT_SET = "-", ""
DISTRIBUTIONS_SINCE = np.datetime64("2014-02-24")
SPECIAL_RATES_SINCE = np.datetime64("2022-06-06")
_TWO_DAYS_SINCE = np.datetime64("2019-07-18")  # of settlement: ex-date one session before

_UNKNOWN_AMOUNT, _CORRECTION, _DELETION = 0.12, 0.06, 0.008
_COMMEMORATIVE, _OUT_OF_SURPLUS = 0.04, 0.02
_SPECIAL = (0.035, 0.075)  # overlaps with the commemorative ones
_SPECIAL_PART = 0.2  # of the dividend


@dataclass(frozen=True, eq=False)
class Notices:
    """One entry per notice, all (n,); ``first_day`` is the day of the chain's first notice.

    Attributes:
        step: 0 first notice, 1 correction or deletion, 2 decision.
        rate: yen per share in the basis of the notice's day, NaN while undecided.
        luck: of the chain, in [0, 1).
    """

    day: DateArray
    first_day: DateArray
    slot: IntArray
    step: IntArray
    deleted: BoolArray
    final: BoolArray
    month: IntArray
    rate: FloatArray
    minute: IntArray
    luck: FloatArray


def make_notices(
    seed: int,
    end: PeriodEnd,
    agenda: Agenda,
    companies: Companies,
    sessions: DateArray,
    split: Callable[[IntArray, IntArray], FloatArray],
) -> Notices:
    """Notices about the record date that is the end of one month."""
    rng = stream(seed, "dividends", end.month)
    uniform = rng.random((8, end.slot.size))
    interim_paid = companies.pays_interim[end.slot]
    due = companies.pays[end.slot] & (end.final | ((end.quarter == 2) & interim_paid))
    forecast = _part(end, end.dividend_before, interim_paid)
    decided = _part(end, end.dividend, interim_paid)
    first_day = _session_before(agenda, sessions, 32 + 26 * uniform[0])
    between = _session_before(agenda, sessions, 5 + 20 * uniform[1])
    deleted = uniform[2] < _DELETION
    corrected = deleted | (uniform[2] > 1 - _CORRECTION)
    unknown = uniform[3] < _UNKNOWN_AMOUNT
    steps = (
        (0, first_day, np.where(unknown, np.nan, forecast), due),
        (1, between, decided, due & corrected),
        (2, agenda.day, decided, due & ~deleted),
    )
    parts = []
    for step, day, rate, chosen in steps:
        in_basis = np.round(rate * split(last_session(sessions, day), end.slot), 2)
        notices = Notices(
            day=day,
            first_day=first_day,
            slot=end.slot,
            step=np.full(end.slot.size, step),
            deleted=deleted & (step == 1),
            final=end.final,
            month=np.full(end.slot.size, end.month),
            rate=in_basis,
            minute=(540 + 590 * uniform[(4, 5, 7)[step]]).astype(np.int64),
            luck=uniform[6],
        )
        parts.append(taken(notices, chosen & ~np.isnat(day)))
    return stacked(parts)


def dividend_records(notices: Notices, sessions: DateArray, codes: TextArray) -> Records:
    """Records of ``/fins/dividend``.

    Args:
        sessions: all sessions from before the first record date to after the last one.
    """
    number = _numbers(notices, notices.day, notices.step)
    first = _numbers(notices, notices.first_day, np.zeros_like(notices.step))
    hour = np.maximum(notices.minute // 60 + 1, 12)  # delivered on the hour, from 12 to 19
    today = notices.day.astype("datetime64[m]") + (60 * hour).astype("timedelta64[m]")
    published = np.where(hour <= 19, today, moment(notices.day + 1, 12))
    return sorted_records(
        notices.day,
        notices.slot,
        published,
        lambda index: _columns(taken(notices, index), sessions, codes, number[index], first[index]),
        tie=notices.minute * 10_000_000 + notices.slot * 10 + notices.step,
    )


def _columns(
    rows: Notices, sessions: DateArray, codes: TextArray, number: TextArray, first: TextArray
) -> Columns:
    record = (rows.month + 1).astype("datetime64[M]").astype("datetime64[D]") - 1
    fixed = last_session(sessions, record)
    settles = np.where(sessions[fixed] >= _TWO_DAYS_SINCE, 1, 2)
    decided = rows.step == 2
    known = ~np.isnan(rows.rate)
    pay = np.busday_offset(record + np.where(rows.final, 86, 70), 0, roll="forward")
    columns: Columns = {
        "PubDate": iso_dates(rows.day),
        "PubTime": _clock(rows.minute),
        "Code": codes[rows.slot],
        "RefNo": number,
        "StatCode": _choose(rows.deleted, DELETED, np.where(rows.step == 0, NEW, CORRECTED)),
        "BoardDate": iso_dates(rows.day),
        "IFCode": _choose(rows.final, "2", "1"),
        "FRCode": _choose(decided, DECIDED, FORECAST),
        "IFTerm": _texts(np.datetime_as_string(rows.month.astype("datetime64[M]"))),
        "DivRate": _amounts(rows.rate, known),
        "RecDate": iso_dates(record),
        "ExDate": iso_dates(sessions[np.maximum(fixed - settles, 0)]),
        "ActRecDate": iso_dates(sessions[fixed]),
        "PayDate": _choose(known & (decided | (rows.luck < 0.5)), iso_dates(pay), UNDECIDED),
        "CARefNo": first,
    }
    return columns | _extras(rows, known)


def _extras(rows: Notices, known: BoolArray) -> Columns:
    """Distributions out of surplus, commemorative and special parts; most are not set."""
    surplus = (rows.luck > 1 - _OUT_OF_SURPLUS) & (rows.day >= DISTRIBUTIONS_SINCE)
    commemorative = rows.luck < _COMMEMORATIVE
    special = (rows.luck >= _SPECIAL[0]) & (rows.luck < _SPECIAL[1])
    told = rows.day >= SPECIAL_RATES_SINCE
    part = np.round(_SPECIAL_PART * rows.rate, 2)
    kinds = np.array(["0", "1", "2", "3"], dtype=object)
    return {
        "DistAmt": _amounts(rows.rate, known, told=surplus),
        "RetEarn": _amounts(rows.rate * 0.0, known, told=surplus),
        "DeemDiv": _amounts(np.round(rows.rate * 0.25, 2), known, told=surplus),
        "DeemCapGains": _amounts(np.round(rows.rate * 0.75, 2), known, told=surplus),
        "NetAssetDecRatio": _amounts(np.where(known, 0.012, np.nan), known, told=surplus),
        "CommSpecCode": kinds[commemorative + 2 * special],
        "CommDivRate": _amounts(part, known, told=told & commemorative),
        "SpecDivRate": _amounts(part, known, told=told & special),
    }


def _amounts(values: FloatArray, known: BoolArray, told: BoolArray | None = None) -> TextArray:
    """Numbers, ``-`` while undecided, blank where nothing is told: a mixed column."""
    mixed = values.astype(object)
    mixed[~known] = UNDECIDED
    if told is not None:
        mixed[~told] = NOT_SET
    return mixed


def _numbers(notices: Notices, days: DateArray, step: IntArray) -> TextArray:
    serial = (notices.slot * 4 + (notices.month // 3) % 4) * 4 + step
    scrambled = serial * 387_961 % 1_000_000
    texts = [text.replace("-", "") for text in iso_dates(days)]
    numbers = [f"{d}{n:06d}" for d, n in zip(texts, scrambled.tolist(), strict=True)]
    return np.array(numbers, dtype=object)


def _part(end: PeriodEnd, dividend: FloatArray, interim_paid: BoolArray) -> FloatArray:
    interim = interim_part(dividend, interim_paid)
    return np.where(end.final, dividend - interim, interim)


def _session_before(agenda: Agenda, sessions: DateArray, days: FloatArray) -> DateArray:
    early = agenda.period_end - days.astype(np.int64).astype("timedelta64[D]")
    return on_session(sessions, early)


def _clock(minutes: IntArray) -> TextArray:
    return np.array([f"{m // 60:02d}:{m % 60:02d}" for m in minutes.tolist()], dtype=object)


def _choose(condition: BoolArray, yes: object, no: object) -> TextArray:
    return np.where(condition, yes, no).astype(object)  # type: ignore[call-overload,no-any-return]


def _texts(values: object) -> TextArray:
    return np.asarray(values).astype(object)
