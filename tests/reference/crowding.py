"""Family crowding: the price margin traders paid on average, and ranks of crowded positions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

from tests.reference.basis import factor_after
from tests.reference.breakdown import FEATURES as BREAKDOWN
from tests.reference.breakdown import amount, bought, records
from tests.reference.liquidity import mktcap_turnover_20d
from tests.reference.margin import FEATURES as MARGIN
from tests.reference.market import Feature, History, ReferenceMarket, of_line, remembered
from tests.reference.operators import Value, at_least, back, mean, minus_one, ratio
from tests.reference.price_return import ret_prev
from tests.reference.short_position import FEATURES as SHORT_POSITION
from tests.reference.transforms import cross_section


def cost_gap(side: str) -> Callable[[ReferenceMarket, History], Value]:
    """``p_T / c - 1``, c the mean price of 120 columns at which positions of a side were opened."""

    def value(market: ReferenceMarket, s: History) -> Value:
        rows = records(market, s, 120)
        if len(rows) < 60:
            return None
        yen = math.fsum(amount(row, f"{side}Va") for row in rows)
        count = math.fsum(
            amount(row, f"{side}Vo") / factor_after(market, s.code, row["Date"], s.date)
            for row in rows
        )
        return minus_one(ratio(back(s.p, 0), ratio(yen, count)))

    return value


margin_cost_gap_120d = cost_gap("MrgnBuyNew")
short_cost_gap_120d = cost_gap("MrgnSellNew")


def margin_pain(market: ReferenceMarket, s: History) -> Value:
    gap = margin_cost_gap_120d(market, s)
    days = MARGIN["margin_long_to_adv20"](market, s.code, s.date)
    return None if gap is None or days is None else max(0.0, -gap) * days


def short_pain(market: ReferenceMarket, s: History) -> Value:
    gap = short_cost_gap_120d(market, s)
    days = MARGIN["margin_short_to_adv20"](market, s.code, s.date)
    return None if gap is None or days is None else max(0.0, gap) * days


def margin_buy_share_20d(market: ReferenceMarket, s: History) -> Value:
    """Mean of bd_margin_buy_share over 20 columns, at least 10."""
    shares = at_least(
        10,
        [
            ratio(amount(row, "MrgnBuyNewVa") + amount(row, "MrgnBuyCloseVa"), bought(row))
            for row in records(market, s, 20)
        ],
    )
    return None if shares is None else mean(shares)


RANKED: dict[str, Feature] = {
    "margin_long_to_adv20": MARGIN["margin_long_to_adv20"],
    "mktcap_turnover_20d": of_line(mktcap_turnover_20d),
    "margin_buy_share_20d": of_line(margin_buy_share_20d),
    "ret_prev_60d": of_line(lambda market, s: ret_prev(s, 60)),
    "ssp_ratio_sum": SHORT_POSITION["ssp_ratio_sum"],
    "margin_short_to_adv20": MARGIN["margin_short_to_adv20"],
    "bd_short_share_20d": BREAKDOWN["bd_short_share_20d"],
    "ret_prev_5d": of_line(lambda market, s: ret_prev(s, 5)),
}
"""What the scores are made of."""


@remembered
def cs_pct(market: ReferenceMarket, date: dt.date, name: str) -> dict[str, Value]:
    """The cs_pct transform of a quantity by code, for U_T."""
    members = market.universe(date)
    values = [RANKED[name](market, code, date) for code in members]
    return {
        code: cross_section("_cs_pct", x, values) for code, x in zip(members, values, strict=True)
    }


def score(*names: str) -> Feature:
    """Mean of the available ranks, at least three."""

    def value(market: ReferenceMarket, s: History) -> Value:
        ranks = at_least(3, [cs_pct(market, s.date, name).get(s.code) for name in names])
        return None if ranks is None else mean(ranks)

    return of_line(value)


FEATURES: dict[str, Feature] = {
    "margin_cost_gap_120d": of_line(margin_cost_gap_120d),
    "short_cost_gap_120d": of_line(short_cost_gap_120d),
    "margin_pain": of_line(margin_pain),
    "short_pain": of_line(short_pain),
    "crowding_score": score(
        "margin_long_to_adv20", "mktcap_turnover_20d", "margin_buy_share_20d", "ret_prev_60d"
    ),
    "squeeze_score": score(
        "ssp_ratio_sum", "margin_short_to_adv20", "bd_short_share_20d", "ret_prev_5d"
    ),
}
