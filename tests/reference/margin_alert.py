"""Family margin_alert: daily balances of the issues under special observation."""

from __future__ import annotations

import datetime as dt

from tests.reference.basis import factor_after
from tests.reference.margin import advs20, log_share_ratio
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, ratio
from tests.reference.publication import Record, known

CLASSES = {"001", "002", "003", "004", "005", "006", "101", "102"}


def in_force(market: ReferenceMarket, code: str, date: dt.date) -> Record | None:
    """Of the records published on T or T-1 the largest AppDate, then the largest PubDate."""
    found = known(market, "margin_alert", code, date, depth=1)
    found.sort(key=lambda record: (record.day("AppDate"), record.day("PubDate")))
    return found[-1] if found else None


def alert_is_listed(market: ReferenceMarket, s: History) -> Value:
    return 0 if in_force(market, s.code, s.date) is None else 1


def alert_reg_class(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s.code, s.date)
    if record is None:
        return 0
    text = record.text("TSEMrgnRegCls")
    return int(text) if text in CLASSES else None


def alert_jsf_restricted(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s.code, s.date)
    if record is None:
        return 0
    flags = [record.text(f"PubReason.{name}") for name in ("RestrictedByJSF", "PrecautionByJSF")]
    if "1" in flags:
        return 1
    return 0 if flags == ["0", "0"] else None


def alert_days_20d(market: ReferenceMarket, s: History) -> Value:
    days = market.window(s.date, 20)
    listed = (day for day in days if day is not None and day in market.listings(s.code))
    return sum(in_force(market, s.code, day) is not None for day in listed)


def shares_of(market: ReferenceMarket, s: History, record: Record, field: str) -> Value:
    """A share count of a record in the basis of T."""
    value = record.number(field)
    if value is None:
        return None
    return value / factor_after(market, s.code, record.day("AppDate"), s.date)


def alert_sl_ratio_log(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s.code, s.date)
    if record is None:
        return None
    long = shares_of(market, s, record, "LongOut")
    return log_share_ratio(long, shares_of(market, s, record, "ShrtOut"))


def alert_long_chg_to_adv20(market: ReferenceMarket, s: History) -> Value:
    record = in_force(market, s.code, s.date)
    if record is None:
        return None
    return ratio(shares_of(market, s, record, "LongOutChg"), advs20(s))


FEATURES: dict[str, Feature] = {
    "alert_is_listed": of_line(alert_is_listed),
    "alert_reg_class": of_line(alert_reg_class),
    "alert_jsf_restricted": of_line(alert_jsf_restricted),
    "alert_days_20d": of_line(alert_days_20d),
    "alert_sl_ratio_log": of_line(alert_sl_ratio_log),
    "alert_long_chg_to_adv20": of_line(alert_long_chg_to_adv20),
}
