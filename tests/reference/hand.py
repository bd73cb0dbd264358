"""Small markets for hand-worked examples: one stock that hardly moves, and rows about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from tests.reference.market import Feature, ReferenceMarket
from tests.reference.operators import Value

CODE = "13010"

COLUMNS = 800
"""Columns with bars; the calendar goes on for half as many."""

DAYS = [day.date() for day in pd.bdate_range("2020-01-06", periods=COLUMNS * 3 // 2)]

FIELDS = {
    "fin_summary": (
        "DiscDate DiscTime DiscNo Code DocType CurPerType CurPerEn CurFYEn NxtFYEn "
        "Sales OP NP TA Eq CFO CFI CashEq ShOutFY TrShFY NCSales NCOP NCNP NCTA NCEq "
        "DivAnn FDivAnn NxFDivAnn FSales FOP FNP NxFSales NxFOP NxFNp "
        "FNCSales FNCOP FNCNP NxFNCSales NxFNCOP NxFNCNP"
    ),
    "dividend": "PubDate PubTime RefNo CARefNo StatCode Code DivRate ExDate",
    "earnings_date": "PubDate SchDate FQName FYE Code",
    "margin_interest": "PubDate Date Code LongVol ShrtVol LongStdVol",
    "margin_alert": (
        "PubDate AppDate Code LongOut ShrtOut LongOutChg TSEMrgnRegCls "
        "PubReason.RestrictedByJSF PubReason.PrecautionByJSF"
    ),
    "short_sale": "DiscDate CalcDate Code SSName DICName FundName ShrtPosToSO ShrtPosShares",
    "breakdown": (
        "Date Code LongSellVa ShrtNoMrgnVa MrgnSellNewVa MrgnSellCloseVa "
        "LongBuyVa MrgnBuyNewVa MrgnBuyCloseVa MrgnBuyNewVo MrgnSellNewVo"
    ),
    "topix": "Date C",
}

Rows = list[dict[str, Any]]


def table(source: str, rows: Rows) -> pd.DataFrame:
    """Rows of a source about the stock; what they do not say is null."""
    names = FIELDS[source].split()
    unknown = {name for row in rows for name in row} - set(names)
    assert not unknown, unknown
    about = {"Code": CODE} if "Code" in names else {}
    cells = {name: [{**about, **row}.get(name) for row in rows] for name in names}
    return pd.DataFrame(cells, dtype=object)


def market(
    prices: Mapping[int, float] | None = None,
    factors: Mapping[int, float] | None = None,
    halted: Collection[int] = (),
    unlisted: Collection[int] = (),
    **tables: Rows,
) -> ReferenceMarket:
    """A stock at 100 yen, 1000 shares a day, AdjFactor 1.

    Args:
        prices: Column -> the price from there on.
        factors: Column -> another AdjFactor; the price follows ``prices`` all the same.
        halted: Columns without a trade.
        unlisted: Columns without a master record.
        tables: Rows of further sources.
    """
    bars, price = [], 100.0
    for column, day in enumerate(DAYS[:COLUMNS]):
        price = (prices or {}).get(column, price)
        bar: dict[str, Value] = dict.fromkeys(("O", "H", "L", "C"), price)
        bar |= {"Vo": 1000.0, "Va": 1000 * price}
        if column in halted:
            bar = dict.fromkeys(bar)
        factor = (factors or {}).get(column, 1.0)
        bars.append({"Date": day, "Code": CODE, "AdjFactor": factor, **bar})
    record = {"Code": CODE, "Mkt": "0111", "S17": "1", "S33": "0050", "ScaleCat": "-", "Mrgn": "2"}
    listed = [
        {"Date": day, **record} for i, day in enumerate(DAYS[:COLUMNS]) if i not in set(unlisted)
    ]
    return ReferenceMarket(
        pd.DataFrame(bars),
        pd.DataFrame(listed),
        pd.DataFrame({"Date": DAYS, "HolDiv": "1"}),
        {source: table(source, rows) for source, rows in tables.items()},
    )


def values(
    features: Mapping[str, Feature],
    name: str,
    market: ReferenceMarket,
    columns: Iterable[int] = range(COLUMNS),
) -> dict[int, Value]:
    """A feature of the stock by column; nulls are left out."""
    found = {i: features[name](market, CODE, DAYS[i]) for i in columns}
    return {i: x for i, x in found.items() if x is not None}


def value(
    features: Mapping[str, Feature], name: str, market: ReferenceMarket, column: int
) -> Value:
    """A feature of the stock on one column."""
    return features[name](market, CODE, DAYS[column])


def weekend_after(column: int) -> dt.date:
    """The Saturday after a column that is a Friday."""
    day = DAYS[column]
    assert day.isoweekday() == 5, day
    return day + dt.timedelta(days=1)
