"""Families futures, investor_flow, short_ratio and breakdown by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.reference.brute import base_value
from tests.reference.synthetic import (
    CODE,
    COLUMNS,
    DAYS,
    LAST,
    flat_bars,
    market_of,
    master_of,
    random_bars,
)

BARS = flat_bars(n=100)
END = COLUMNS - 1

Rows = list[dict[str, Any]]


def day(ago: int) -> pd.Timestamp:
    """The column so many columns before the last; negative numbers lie ahead."""
    return DAYS[END - ago]


def last(name: str, master: pd.DataFrame | None = None, **tables: Rows) -> float | None:
    """A value on the last column; ``index_option`` and ``topix`` have 20,000 and 2,000."""
    frames = {source: pd.DataFrame(rows) for source, rows in tables.items()}
    days = [day(ago) for ago in range(100)]
    frames["topix"] = pd.DataFrame({"Date": days}).assign(O=2000.0, H=2000.0, L=2000.0, C=2000.0)
    frames["index_option"] = pd.DataFrame({"Date": days, "UnderPx": 20000.0, "EmMrgnTrgDiv": "002"})
    return base_value(market_of(BARS, master, **frames), name, LAST, CODE)


def contract(ago: int, expiry: int, settle: float, **fields: Any) -> dict[str, Any]:
    """A futures record so long ago; ``expiry`` is the column of the special quotation."""
    return {
        "ProdCat": "TOPIXF",
        "Date": day(ago),
        "CM": f"month {expiry}",
        "EmMrgnTrgDiv": "002",
        "SQD": day(-expiry),
        "LTD": day(-expiry + 1),
        "Settle": settle,
        "CCMFlag": "0",
        "OI": 100.0,
        "EC": settle,
        "H": settle + 20,
        "L": settle - 10,
        **fields,
    }


CHAIN = [
    contract(0, 10, 2010.0, CCMFlag="1", EC=2005.0, OI=50.0),
    contract(0, 70, 2030.0, OI=200.0),
    contract(0, 130, 2050.0, OI=0.0),
    contract(1, 10, 2000.0, OI=100.0),
    contract(1, 70, 2020.0, OI=100.0),
    contract(1, 0, 1990.0, OI=900.0),
]


def test_futures_by_hand() -> None:
    """The front is the central month; the next one needs open interest."""
    expected = {
        "fut_topix_night_ret": 2005 / 2000 - 1,
        "fut_topix_range_pct": 30 / 2000,
        "fut_topix_oi_chg_1d": 250 / 200 - 1,
        "fut_topix_basis": 2010 / 2000 - 1,
        "fut_topix_term_slope_ann": math.log(2030 / 2010) * 365 / (12 * 7),
        "fut_topix_days_to_roll": 9,
    }
    assert {n: last(n, futures=CHAIN) for n in expected} == pytest.approx(expected)


def changed(place: int, **fields: Any) -> Rows:
    """The chain with other fields in one record."""
    return [{**row, **fields} if i == place else row for i, row in enumerate(CHAIN)]


def test_which_contract_is_the_front() -> None:
    """Without a central month the largest open interest, on a tie the nearest expiry."""
    name = "fut_topix_basis"
    assert last(name, futures=changed(0, CCMFlag="0")) == pytest.approx(2030 / 2000 - 1)
    tied = changed(0, CCMFlag="0", OI=200.0)
    assert last(name, futures=tied) == pytest.approx(2010 / 2000 - 1)
    other = changed(0, EmMrgnTrgDiv="001")
    assert last(name, futures=other) == pytest.approx(2030 / 2000 - 1)
    expired = [{**row, "SQD": day(0)} for row in CHAIN]
    assert last(name, futures=expired) is None


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("EC", "fut_topix_night_ret"),
        ("H", "fut_topix_range_pct"),
        ("L", "fut_topix_range_pct"),
        ("Settle", "fut_topix_basis"),
        ("Settle", "fut_topix_term_slope_ann"),
    ],
)
def test_a_price_of_zero_is_null(field: str, name: str) -> None:
    """0.0 stands for no trade, blank for no session."""
    for nothing in (0.0, None):
        assert last(name, futures=changed(0, **{field: nothing})) is None


def test_the_contract_of_the_day_before() -> None:
    """Its settlement is needed, in a record of the usual kind."""
    for fields in ({"Settle": 0.0}, {"EmMrgnTrgDiv": "001"}, {"CM": "another"}):
        assert last("fut_topix_night_ret", futures=changed(3, **fields)) is None


def test_nikkei_futures() -> None:
    """Against the underlying price of the option file."""
    rows = [{**row, "ProdCat": "NK225F", "Settle": 10 * row["Settle"]} for row in CHAIN]
    assert last("fut_nk225_basis", futures=rows) == pytest.approx(20100 / 20000 - 1)
    assert last("fut_nk225_night_ret", futures=rows) == pytest.approx(2005 / 20000 - 1)


def test_rolled_return_of_bond_futures() -> None:
    """Every day's return is that of the front of the day: no jump where the front changes."""
    rows = []
    for ago in range(8):
        rolled = ago < 3
        rows += [
            contract(ago, 5, 150.0 * 1.01**-ago, CCMFlag=str(int(not rolled))),
            contract(ago, 70, 140.0 * 1.02**-ago, CCMFlag=str(int(rolled))),
        ]
    bonds = [{**row, "ProdCat": "JGBLF"} for row in rows]
    assert last("jgb_fut_ret_5d", futures=bonds) == pytest.approx(1.02**3 * 1.01**2 - 1)
    assert last("jgb_fut_ret_20d", futures=bonds) is None


def week(ago: int, net: float, total: float = 100.0, **fields: Any) -> dict[str, Any]:
    """A weekly record that ended seven columns before it was published, ``ago`` columns ago."""
    parts = ("Ind", "TrstBnk", "InvTr", "BusCo")
    return {
        "PubDate": day(ago),
        "StDate": day(ago + 11),
        "EnDate": day(ago + 7),
        "Section": "TokyoNagoya",
        "FrgnBal": net,
        "FrgnTot": total / 2,
        "TotTot": total,
        **{f"{part}Bal": -i for i, part in enumerate(parts)},
        **fields,
    }


def test_flows_by_hand() -> None:
    """Ten weeks with foreign balances 9, 8 .. 0."""
    rows = [week(2 + 5 * i, 9.0 - i) for i in range(10)]
    expected = {
        "flow_foreign_net_share": 0.09,
        "flow_individual_net_share": 0.0,
        "flow_trustbank_net_share": -0.01,
        "flow_invtrust_net_share": -0.02,
        "flow_bizcorp_net_share": -0.03,
        "flow_foreign_net_4w_share": 0.075,
        "flow_foreign_persistence_10w": 0.9,
        "flow_foreign_turnover_share": 0.5,
        "flow_staleness_td": 2,
    }
    assert {n: last(n, investor_types=rows) for n in expected} == pytest.approx(expected)
    assert last("flow_foreign_persistence_10w", investor_types=rows[:9]) is None
    assert last("flow_foreign_net_z52", investor_types=rows) is None


def test_flow_z_score() -> None:
    """At most 52 weeks, at least 26, the current one included."""
    rows = [week(2, 3.0)] + [week(3 + i, float(i % 2)) for i in range(60)]
    x = np.array([3.0] + [float(i % 2) for i in range(51)])
    expected = (3 - x.mean()) / x.std(ddof=1)
    assert last("flow_foreign_net_z52", investor_types=rows) == pytest.approx(expected)
    assert last("flow_foreign_net_z52", investor_types=rows[:26]) is not None
    assert last("flow_foreign_net_z52", investor_types=rows[:25]) is None


def test_age_and_corrections_of_a_weekly_record() -> None:
    """15 columns are kept; a correction renews the age; an older week never wins."""
    assert last("flow_staleness_td", investor_types=[week(15, 1.0)]) == 15
    assert last("flow_staleness_td", investor_types=[week(16, 1.0)]) is None
    first = week(16, 1.0)
    correction = {**first, "PubDate": day(4), "FrgnBal": 7.0}
    later = week(6, 2.0)
    assert last("flow_foreign_net_share", investor_types=[correction, first]) == 0.07
    assert last("flow_staleness_td", investor_types=[correction, first]) == 4
    assert last("flow_foreign_net_share", investor_types=[correction, first, later]) == 0.02
    tomorrow = {**first, "PubDate": day(-1), "FrgnBal": 9.0}
    assert last("flow_foreign_net_share", investor_types=[later, tomorrow]) == 0.02


def test_the_segment_of_the_stock() -> None:
    """Tier 2: Standard and the former second section pooled, on a tie of weeks Standard."""
    master = master_of(BARS, Mkt="0112")
    old, new = week(5, 1.0, Section="TSE2nd"), week(5, 2.0, Section="TSEStandard")
    name = "flow_tier_foreign_net_share"
    assert last(name, master, investor_types=[old, new]) == 0.02
    assert last(name, master, investor_types=[{**old, "EnDate": day(13)}, new]) == 0.02
    assert last(name, master, investor_types=[old, {**new, "EnDate": day(13)}]) == 0.01
    assert last(name, master, investor_types=[week(5, 1.0, Section="TSEPrime")]) is None


def sale(ago: int, s33: str, sell: float, restricted: float, free: float) -> dict[str, Any]:
    """Selling of a sector in yen."""
    fields = {"SellExShortVa": sell, "ShrtWithResVa": restricted, "ShrtNoResVa": free}
    return {"Date": day(ago), "S33": s33, **fields}


def test_short_ratios_by_hand() -> None:
    """The sector of the stock is 0050; the market has 9999 as well."""
    rows = [sale(0, "0050", 60, 30, 10), sale(0, "9999", 100, 0, 0), sale(5, "0050", 70, 20, 10)]
    expected = {
        "short_ratio_sector": 0.4,
        "short_restricted_share_sector": 0.75,
        "short_ratio_sector_chg_5d": pytest.approx(0.1),
        "short_ratio_market": 0.2,
    }
    assert {n: last(n, short_ratio=rows) for n in expected} == expected
    none_short = [sale(0, "0050", 60, 0, 0)]
    assert last("short_ratio_sector", short_ratio=none_short) == 0
    assert last("short_restricted_share_sector", short_ratio=none_short) is None
    assert last("short_ratio_sector_chg_5d", short_ratio=none_short) is None
    assert last("short_ratio_sector", short_ratio=[sale(0, "1050", 1, 1, 1)]) is None


def trades(ago: int, **fields: float) -> dict[str, Any]:
    """Selling and buying of the stock, 100 yen each."""
    sides = {
        "LongSellVa": 50.0,
        "ShrtNoMrgnVa": 25.0,
        "MrgnSellNewVa": 15.0,
        "MrgnSellCloseVa": 10.0,
        "LongBuyVa": 60.0,
        "MrgnBuyNewVa": 32.0,
        "MrgnBuyCloseVa": 8.0,
    }
    return {"Date": day(ago), "Code": CODE, **sides, **fields}


def test_breakdown_by_hand() -> None:
    """Shares of T, and of twenty columns with at least ten records."""
    expected = {
        "bd_short_share": 0.4,
        "bd_nonmargin_short_share": 0.25,
        "bd_margin_buy_share": 0.4,
        "bd_margin_long_flow": 0.22,
        "bd_margin_short_flow": 0.07,
    }
    assert {n: last(n, breakdown=[trades(0)]) for n in expected} == pytest.approx(expected)
    rows = [trades(0, LongBuyVa=260.0)] + [trades(ago) for ago in range(11, 21)]
    assert last("bd_short_share_20d", breakdown=rows) == pytest.approx(400 / 1200)
    assert last("bd_margin_long_flow_20d", breakdown=rows) == pytest.approx(220 / 1200)
    assert last("bd_short_share_20d", breakdown=rows[1:]) is None
    assert last("bd_short_share", breakdown=rows[1:]) is None


def test_the_nikkei_to_topix_ratio() -> None:
    """Nikkei up by a tenth, TOPIX down by a tenth."""
    market = market_of(
        random_bars(1),
        topix=pd.DataFrame({"Date": [day(20), day(0)], "C": [2000.0, 1800.0]}),
        index_option=pd.DataFrame(
            {
                "Date": [day(20), day(0), day(0)],
                "UnderPx": [20000.0, 0.0, 22000.0],
                "EmMrgnTrgDiv": ["002", "001", "002"],
            }
        ),
    )
    assert base_value(market, "nt_ratio_chg_20d", LAST, CODE) == pytest.approx(1.1 / 0.9 - 1)
    assert base_value(market, "nt_ratio_chg_20d", day(1), CODE) is None
