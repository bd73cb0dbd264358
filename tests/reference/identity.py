"""Family identity: what the master record of T says, and how long ago it changed."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.market import History
from tests.reference.operators import Value, window

SCALES = {
    "TOPIX Core30": 5,
    "TOPIX Large70": 4,
    "TOPIX Mid400": 3,
    "TOPIX Small 1": 2,
    "TOPIX Small 2": 1,
    "-": 0,
}


def market_tier(s: History) -> Value:
    record = s.records[-1]
    return None if record is None else record.tier


def sector17_id(s: History) -> Value:
    record = s.records[-1]
    return None if record is None or record.s17 in {"", "99"} else int(record.s17)


def sector33_id(s: History) -> Value:
    record = s.records[-1]
    return None if record is None or record.s33 in {"", "9999"} else int(record.s33)


def scale_bucket(s: History) -> Value:
    record = s.records[-1]
    return None if record is None else SCALES.get(record.scale)


def margin_class(s: History) -> Value:
    record = s.records[-1]
    return None if record is None or record.margin == "" else int(record.margin)


def is_traded(s: History) -> Value:
    return 0 if s.trades[-1] is None else 1


def listing_age_td(s: History) -> Value:
    return sum(record is not None for record in s.records[-500:])


def days_since_market_change(s: History) -> Value:
    tiers = [None if record is None else record.tier for record in s.records]
    for age in range(250):
        now, before = tiers[-1 - age], tiers[-2 - age]
        if now is not None and before is not None and now != before:
            return age
    return None


def days_since_split(s: History) -> Value:
    for age, factor in enumerate(reversed(window(s.factors, 250))):
        if factor is not None and factor != 1:
            return age
    return None


FEATURES: dict[str, Callable[[History], Value]] = {
    "market_tier": market_tier,
    "sector17_id": sector17_id,
    "sector33_id": sector33_id,
    "scale_bucket": scale_bucket,
    "margin_class": margin_class,
    "is_traded": is_traded,
    "listing_age_td": listing_age_td,
    "days_since_market_change": days_since_market_change,
    "days_since_split": days_since_split,
}
