"""Family margin: balances of margin trading, by the record in force on T."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

from tests.reference.basis import factor_after
from tests.reference.market import Feature, History, ReferenceMarket, of_line, remembered
from tests.reference.operators import Value, at_least, complete, mean, ratio, std, window
from tests.reference.publication import Record, known
from tests.reference.statements import shares

STALE = 20
"""Columns for which a record is in force, from its publication on."""

YEAR = dt.timedelta(days=400)
"""How far back the weeks of the z-score reach."""


def advs20(s: History) -> Value:
    """Mean number of shares traded a day over 20 columns, in the basis of T."""
    volumes = complete(window(s.vol, 20))
    return None if volumes is None else mean(volumes)


@remembered
def visible(market: ReferenceMarket, code: str, date: dt.date) -> list[Record]:
    """Records published by T, by date of application."""
    found = known(market, "margin_interest", code, date)
    return sorted(found, key=lambda record: record.day("Date"))


def in_force(market: ReferenceMarket, s: History) -> Record | None:
    """The record with the largest Date; null when it was published over 20 columns ago."""
    found = visible(market, s.code, s.date)
    if not found or market.column_of[s.date] - found[-1].column > STALE:
        return None
    return found[-1]


def a_week_earlier(market: ReferenceMarket, s: History, record: Record) -> Record | None:
    """The record with the largest Date from 21 to 7 days before that of another one."""
    day = record.day("Date")
    first, last = day - dt.timedelta(days=21), day - dt.timedelta(days=7)
    found = [r for r in visible(market, s.code, s.date) if first <= r.day("Date") <= last]
    return found[-1] if found else None


def balance(market: ReferenceMarket, s: History, record: Record | None, field: str) -> Value:
    """Shares of a balance in the basis of T."""
    value = None if record is None else record.number(field)
    if record is None or value is None:
        return None
    return value / factor_after(market, s.code, record.day("Date"), s.date)


def net(market: ReferenceMarket, s: History, record: Record | None) -> Value:
    """Long minus short balance in the basis of T."""
    long = balance(market, s, record, "LongVol")
    short = balance(market, s, record, "ShrtVol")
    return None if long is None or short is None else long - short


def log_share_ratio(new: Value, old: Value) -> Value:
    """``ln((new + 100) / (old + 100))`` of two share counts."""
    return None if new is None or old is None else math.log((new + 100) / (old + 100))


def to_shares(field: str) -> Callable[[ReferenceMarket, History], Value]:
    """A balance over shares_T."""

    def value(market: ReferenceMarket, s: History) -> Value:
        record = in_force(market, s)
        return ratio(balance(market, s, record, field), shares(market, s.code, s.date))

    return value


def to_adv20(field: str) -> Callable[[ReferenceMarket, History], Value]:
    """A balance over advs20."""
    return lambda market, s: ratio(balance(market, s, in_force(market, s), field), advs20(s))


def margin_lsr_log(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s)
    long = balance(market, s, record, "LongVol")
    return log_share_ratio(long, balance(market, s, record, "ShrtVol"))


def margin_net_chg_1w_to_adv20(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s)
    if record is None:
        return None
    now, before = net(market, s, record), net(market, s, a_week_earlier(market, s, record))
    return None if now is None or before is None else ratio(now - before, advs20(s))


def chg_1w(field: str) -> Callable[[ReferenceMarket, History], Value]:
    """Log change of a balance within a week."""

    def value(market: ReferenceMarket, s: History) -> Value:
        record = in_force(market, s)
        if record is None:
            return None
        before = a_week_earlier(market, s, record)
        now = balance(market, s, record, field)
        return log_share_ratio(now, balance(market, s, before, field))

    return value


def margin_long_std_share(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s)
    return None if record is None else ratio(record.number("LongStdVol"), record.number("LongVol"))


def margin_net_z52(market: ReferenceMarket, s: History) -> Value:
    record, count = in_force(market, s), shares(market, s.code, s.date)
    if record is None or count is None:
        return None
    # Ascending by Date, so the last record of every ISO week stays.
    weeks = {
        r.day("Date").isocalendar()[:2]: ratio(net(market, s, r), count)
        for r in visible(market, s.code, s.date)
        if s.date - YEAR <= r.day("Date")
    }
    sample = list(weeks.values())[-52:]
    now, values = ratio(net(market, s, record), count), at_least(26, sample)
    return None if now is None or values is None else ratio(now - mean(values), std(values))


def margin_staleness_td(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s)
    return None if record is None else market.column_of[s.date] - record.column


FEATURES: dict[str, Feature] = {
    "margin_long_to_shares": of_line(to_shares("LongVol")),
    "margin_short_to_shares": of_line(to_shares("ShrtVol")),
    "margin_lsr_log": of_line(margin_lsr_log),
    "margin_long_to_adv20": of_line(to_adv20("LongVol")),
    "margin_short_to_adv20": of_line(to_adv20("ShrtVol")),
    "margin_net_chg_1w_to_adv20": of_line(margin_net_chg_1w_to_adv20),
    "margin_long_chg_1w": of_line(chg_1w("LongVol")),
    "margin_short_chg_1w": of_line(chg_1w("ShrtVol")),
    "margin_long_std_share": of_line(margin_long_std_share),
    "margin_net_z52": of_line(margin_net_z52),
    "margin_staleness_td": of_line(margin_staleness_td),
}
