"""Rows of the two sources of margin balances: all issues by week or day, designated ones by day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.event_records import (
    Records,
    Selection,
    joined,
    moment,
    sorted_records,
)
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.price_paths import LOT
from pipeline.simulator.positions.margin_paths import (
    CAUTION,
    CLASSES,
    DAILY,
    LONG,
    NOT_DESIGNATED,
    RESTRICTED,
    SHORT,
    STAGE_4,
    SUPERVISED,
)
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import (
        BoolArray,
        Columns,
        DateArray,
        FloatArray,
        IntArray,
        TextArray,
    )
    from pipeline.simulator.synthetic_market import Market

DAILY_ERA = np.datetime64("2026-09-25")  # first application date of the daily era
_LONGEST_WAIT = np.timedelta64(6, "D")
_FEWEST_SESSIONS = 3  # in a week, for it to have balances
_CORRECTED, _ERROR = 0.012, 0.06
_GOLDEN_ANGLE = 2.399963


# -- all issues ------------------------------------------------------------------------------


def balance_dates(sessions: DateArray) -> tuple[IntArray, IntArray]:
    """Application dates and the sessions that publish them, as indices.

    Weekly era: the last session of every week of three or more, published on the second session
    after it; on the third when the second is more than six days away. Daily era: every session,
    published on the next.
    """
    week = (sessions.astype(np.int64) + 3) // 7  # weeks begin on Monday
    last = np.append(week[1:] != week[:-1], True)
    length = np.bincount(week - week[0])[week - week[0]]
    weekly = np.flatnonzero(last & (length >= _FEWEST_SESSIONS) & (sessions < DAILY_ERA))
    daily = np.flatnonzero(sessions >= DAILY_ERA)
    weekly, daily = weekly[weekly < sessions.size - 3], daily[daily < sessions.size - 1]
    far = sessions[weekly + 2] - sessions[weekly] > _LONGEST_WAIT
    return np.concatenate([weekly, daily]), np.concatenate([weekly + 2 + far, daily + 1])


def margin_interest(
    market: Market, wanted: Selection, slots: IntArray, published: str | None
) -> Columns:
    """Balances of every issue that may be traded on margin, at 16:30 of the publication day.

    Args:
        published: only rows with this ``PubDate``; None for all.
    """
    sessions = market.universe.sessions
    dates, shown_on = balance_dates(sessions)
    keep = (sessions[dates] >= wanted.first) & (sessions[dates] <= wanted.last)
    keep &= (moment(sessions[shown_on], 16, 30) <= wanted.now) & (dates <= market.last)
    if published is not None:
        keep &= (sessions[dates] >= DAILY_ERA) & (sessions[shown_on] == np.datetime64(published))
    parts = [
        _balances(market, t, int(on), slots)
        for t, on in zip(dates[keep].tolist(), shown_on[keep].tolist(), strict=True)
    ]
    return joined(parts, _balances(market, 0, 0, slots[:0]))


def _balances(market: Market, t: int, shown_on: int, slots: IntArray) -> Columns:
    market.margin.extend(t + 1)
    universe = market.universe
    on_margin = universe.listed[t] & (universe.margin[t] != code_tables.NO_MARGIN)
    s = slots[on_margin[slots]]
    daily = bool(universe.sessions[t] >= DAILY_ERA)
    long_volume, long_standard = _shares(market, np.full(s.size, t), s, LONG)
    short_volume, short_standard = _shares(market, np.full(s.size, t), s, SHORT)
    classes = np.array([row[0] for row in code_tables.MARGIN_CLASSES], dtype=object)
    volumes = {
        "Shrt": short_volume,
        "Long": long_volume,
        "ShrtNeg": short_volume - short_standard,
        "LongNeg": long_volume - long_standard,
        "ShrtStd": short_standard,
        "LongStd": long_standard,
    }
    price = market.tape.carried[t, s] if daily else np.nan
    published = str(universe.sessions[shown_on]) if daily else None
    return {
        "PubDate": np.full(s.size, published, dtype=object),
        "Date": np.full(s.size, str(universe.sessions[t]), dtype=object),
        "Code": universe.issues.code[s],
        "IssType": classes[universe.margin[t, s]],
        **{name + "Vol": values for name, values in volumes.items()},
        **{name + "Val": np.round(values * price) for name, values in volumes.items()},
    }


def _shares(market: Market, t: IntArray, s: IntArray, side: int) -> tuple[FloatArray, FloatArray]:
    """A balance in shares, and its part on standardised margin."""
    universe = market.universe
    lots = market.margin.balance[side, t, s].astype(np.float64)
    angle = _GOLDEN_ANGLE * s
    day = universe.sessions[t].astype(np.int64)
    wave = np.sin(day / (11.0 + s % 17) + angle)
    share = 0.6 + 0.2 * np.sin(angle) + 0.08 * wave
    if side == SHORT:
        loanable = universe.margin[t, s] == code_tables.LOANABLE
        share = np.where(loanable, 0.78 + 0.12 * np.sin(angle) + 0.08 * wave, 0.0)
    return lots * LOT, np.rint(lots * share) * LOT


# -- designated issues -----------------------------------------------------------------------


def alert_records(market: Market) -> Records:
    """Records of ``/markets/margin-alert``: a row and, rarely, its correction days later."""
    market.margin.extend(market.last + 1)
    sessions, issues = market.universe.sessions, market.universe.issues
    t, s = np.nonzero(market.margin.designation[: market.last + 1] != NOT_DESIGNATED)
    luck = _row_luck(market, t)
    wrong = luck < _CORRECTED
    delay = 2 + (luck[wrong] / _CORRECTED * 3).astype(np.int64)
    rows_t, rows_s = np.concatenate([t, t[wrong]]), np.concatenate([s, s[wrong]])
    shown_on = np.concatenate([t + 1, t[wrong] + delay])
    error = np.concatenate([np.where(wrong, 1 + _ERROR, 1.0), np.ones(int(wrong.sum()))])
    inside = shown_on < sessions.size
    rows_t, rows_s, shown_on, error = (x[inside] for x in (rows_t, rows_s, shown_on, error))
    by_code = np.empty(issues.code.size, dtype=np.int64)
    by_code[market.universe.by_code] = np.arange(issues.code.size)
    return sorted_records(
        sessions[shown_on],
        rows_s,
        moment(sessions[shown_on], 16, 30),
        lambda index: _alerts(
            market, rows_t[index], rows_s[index], sessions[shown_on[index]], error[index]
        ),
        tie=by_code[rows_s] * 100_000 + rows_t,
    )


def _row_luck(market: Market, t: IntArray) -> FloatArray:
    """A number of [0, 1) for every row, from the stream of its session; ``t`` ascends."""
    universe = market.universe
    draws = [np.empty(0)]
    for session, count in zip(*np.unique(t, return_counts=True), strict=True):
        ordinal = int(universe.sessions[session].astype(np.int64))
        draws.append(stream(market.spec.seed, "margin errors", ordinal).random(int(count)))
    return np.concatenate(draws)


def _alerts(
    market: Market, t: IntArray, s: IntArray, shown: DateArray, error: FloatArray
) -> Columns:
    universe, designation = market.universe, market.margin.designation
    before = np.maximum(t - 1, 0)
    followed = (t > 0) & (designation[before, s] != NOT_DESIGNATED)
    issued = market.issued(t, s)
    fund = universe.issues.kind[s] == code_tables.ETF
    columns: Columns = {
        "PubDate": iso_dates(shown),
        "Code": universe.issues.code[s],
        "AppDate": iso_dates(universe.sessions[t]),
        "PubReason": _reasons(designation[t, s].astype(np.int64)),
    }
    sides: dict[str, Columns] = {}
    for name, side in (("Shrt", SHORT), ("Long", LONG)):
        total, standard = _shares(market, t, s, side)
        total, standard = np.rint(total * error), np.rint(standard * error)
        total_before, standard_before = _shares(market, before, s, side)
        ratio = np.round(100 * total / issued, 2)
        sides[name] = {
            f"{name}Out": total,
            f"{name}OutChg": _mixed(total - total_before, followed, "-"),
            f"{name}OutRatio": _mixed(ratio, ~fund, "*"),
            f"{name}NegOut": total - standard,
            f"{name}NegOutChg": _mixed(
                total - standard - (total_before - standard_before), followed, "-"
            ),
            f"{name}StdOut": standard,
            f"{name}StdOutChg": _mixed(standard - standard_before, followed, "-"),
        }
    short, long = sides["Shrt"], sides["Long"]
    order = ("Out", "OutChg", "OutRatio")
    columns |= {f"Shrt{x}": short[f"Shrt{x}"] for x in order}
    columns |= {f"Long{x}": long[f"Long{x}"] for x in order}
    columns["SLRatio"] = np.round(100 * short["ShrtOut"] / np.maximum(long["LongOut"], LOT), 1)
    parts = ("NegOut", "NegOutChg", "StdOut", "StdOutChg")
    columns |= {f"Shrt{x}": short[f"Shrt{x}"] for x in parts}
    columns |= {f"Long{x}": long[f"Long{x}"] for x in parts}
    columns["TSEMrgnRegCls"] = np.array(CLASSES, dtype=object)[designation[t, s]]
    return columns


def _reasons(kind: IntArray) -> TextArray:
    """Why an issue is published: six flags as text."""
    flags = {
        "Restricted": (kind >= RESTRICTED) & (kind <= STAGE_4),
        "DailyPublication": kind == DAILY,
        "Monitoring": kind == SUPERVISED,
        "RestrictedByJSF": (kind == CAUTION) | (kind == STAGE_4),
        "PrecautionByJSF": kind == CAUTION,
        "UnclearOrSecOnAlert": kind > STAGE_4,
    }
    reasons = np.empty(kind.size, dtype=object)
    for i in range(kind.size):
        reasons[i] = {name: "1" if raised[i] else "0" for name, raised in flags.items()}
    return reasons


def _mixed(values: FloatArray, told: BoolArray, mark: str) -> TextArray:
    """Numbers, or the mark where there is none to tell."""
    mixed = values.astype(object)
    mixed[~told] = mark
    return mixed
