"""Family investor_flow: weekly records of who bought, by the date they were published."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from functools import partial

from tests.reference.market import Feature, History, ReferenceMarket, of_line, of_market, remembered
from tests.reference.operators import Value, at_least, complete, mean, ratio, std
from tests.reference.tables import Row

WHOLE_MARKET = "TokyoNagoya"
SECTIONS = {
    1: ("TSEPrime", "TSE1st"),
    2: ("TSEStandard", "TSE2nd"),
    3: ("TSEGrowth", "TSEMothers"),
}
"""Market tier -> its section since 2022-04-04, and the one before."""

LONGEST_AGE = 15
DEPTH = 290
"""Columns after which a row counts for nothing; 52 weeks are about 250."""


@remembered
def weeks(market: ReferenceMarket, section: str, date: dt.date) -> list[Row]:
    """The records in force, one per EnDate, the newest first."""
    here = market.column_of[date]
    latest: dict[dt.date, Row] = {}
    for row in sorted(
        market.rows_by("investor_types", "Section").get(section, []), key=lambda r: r["PubDate"]
    ):
        if 0 <= here - market.eff(row["PubDate"]) <= DEPTH:
            latest[row["EnDate"]] = row
    return [latest[end] for end in sorted(latest, reverse=True)]


def age(market: ReferenceMarket, row: Row, date: dt.date) -> int:
    """Columns since a record counts."""
    return market.column_of[date] - market.eff(row["PubDate"])


def fresh(market: ReferenceMarket, date: dt.date, count: int) -> list[Row]:
    """Up to ``count`` weekly records; none when the newest is too old."""
    rows = weeks(market, WHOLE_MARKET, date)
    return rows[:count] if rows and age(market, rows[0], date) <= LONGEST_AGE else []


def share_of_week(row: Row, part: str) -> Value:
    return ratio(row[part], row["TotTot"])


def net_share(market: ReferenceMarket, date: dt.date, part: str) -> Value:
    rows = fresh(market, date, 1)
    return share_of_week(rows[0], part) if rows else None


def net_z52(market: ReferenceMarket, date: dt.date, part: str) -> Value:
    shares = [share_of_week(row, part) for row in fresh(market, date, 52)]
    known = at_least(26, shares)
    if known is None or shares[0] is None:
        return None
    return ratio(shares[0] - mean(known), std(known))


def flow_foreign_net_4w_share(market: ReferenceMarket, date: dt.date) -> Value:
    rows = fresh(market, date, 4)
    net, total = (complete([row[field] for row in rows]) for field in ("FrgnBal", "TotTot"))
    if len(rows) < 4 or net is None or total is None:
        return None
    return ratio(math.fsum(net), math.fsum(total))


def flow_foreign_persistence_10w(market: ReferenceMarket, date: dt.date) -> Value:
    net = complete([row["FrgnBal"] for row in fresh(market, date, 10)])
    if net is None or len(net) < 10:
        return None
    return mean([(x > 0) - (x < 0) for x in net])


def flow_staleness_td(market: ReferenceMarket, date: dt.date) -> Value:
    rows = fresh(market, date, 1)
    return age(market, rows[0], date) if rows else None


def flow_tier_foreign_net_share(market: ReferenceMarket, s: History) -> Value:
    record = s.records[-1]
    if record is None or record.tier is None:
        return None
    new, old = (weeks(market, section, s.date)[:1] for section in SECTIONS[record.tier])
    # On a tie max() keeps the first, that is the new section.
    row = max(new + old, key=lambda r: r["EnDate"], default=None)
    if row is None or age(market, row, s.date) > LONGEST_AGE:
        return None
    return share_of_week(row, "FrgnBal")


FORMULAS: dict[str, Callable[[ReferenceMarket, dt.date], Value]] = {
    "flow_foreign_net_share": partial(net_share, part="FrgnBal"),
    "flow_individual_net_share": partial(net_share, part="IndBal"),
    "flow_trustbank_net_share": partial(net_share, part="TrstBnkBal"),
    "flow_invtrust_net_share": partial(net_share, part="InvTrBal"),
    "flow_bizcorp_net_share": partial(net_share, part="BusCoBal"),
    "flow_foreign_net_z52": partial(net_z52, part="FrgnBal"),
    "flow_individual_net_z52": partial(net_z52, part="IndBal"),
    "flow_foreign_net_4w_share": flow_foreign_net_4w_share,
    "flow_foreign_persistence_10w": flow_foreign_persistence_10w,
    "flow_foreign_turnover_share": partial(net_share, part="FrgnTot"),
    "flow_staleness_td": flow_staleness_td,
}
FEATURES: dict[str, Feature] = {
    **{name: of_market(formula) for name, formula in FORMULAS.items()},
    "flow_tier_foreign_net_share": of_line(flow_tier_foreign_net_share),
}
