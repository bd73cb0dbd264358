"""Every column says something: on a year of a market none is empty, constant, or another's twin.

The synthetic exchange is calm in some respects, in which a year of a small market would leave some
flags at one value and some sectors with too few stocks: few have reported short positions, few are
under daily margin disclosure, few have announced their next dividend, and hardly any goes without
a trade. One month of the year is made busier.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.features.engine import catalogue
from pipeline.market.panel.codes import is_ordinary_share
from tests.markets import BAR_FIELDS, LONGEST, OPTIONS_FROM, Tables, build, simulated

FIRST, LAST = "2020-07-01", "2021-06-30"
BUSY = (dt.date(2021, 2, 1), dt.date(2021, 2, 26))
TWINS = 0.9999


@pytest.fixture(scope="module")
def year() -> pa.Table:
    return build(busier(simulated(LONGEST, OPTIONS_FROM)), FIRST, LAST, threads=2).rows(2)


def busier(tables: Tables) -> Tables:
    """With a month of short sellers, margin disclosures and dividends to come, and a day when most
    do not trade."""
    bars, listed = tables.bars.to_pandas(), tables.listed.to_pandas()
    here = listed[(listed["Date"] == BUSY[0]) & listed["Code"].map(is_ordinary_share)]
    codes = here["Code"].to_numpy()
    halted = (bars["Date"] == BUSY[1]) & bars["Code"].isin(codes[: 4 * len(codes) // 5])
    bars.loc[halted, list(BAR_FIELDS)] = np.nan
    return tables.replaced(
        daily_bars=pa.Table.from_pandas(bars, schema=tables.bars.schema, preserve_index=False),
        short_sale=_with(tables.sources["short_sale"], short_reports(codes)),
        margin_alert=_with(tables.sources["margin_alert"], disclosures(tables, codes)),
        dividend=_with(tables.sources["dividend"], notices(codes)),
    )


def _with(table: pa.Table, rows: list[dict[str, object]]) -> pa.Table:
    return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)])


def short_reports(codes: np.ndarray) -> list[dict[str, object]]:
    """Two further sellers of every stock, each with a position of its own."""
    rng = np.random.default_rng(1)
    return [
        {
            "DiscDate": BUSY[0],
            "CalcDate": BUSY[0] - dt.timedelta(days=3),
            "Code": code,
            "SSName": f"Further Seller {seller}",
            "DICName": "",
            "FundName": "",
            "ShrtPosToSO": float(rng.integers(50, 300)) / 1e4,
        }
        for code in codes
        for seller in (1, 2)
    ]


def disclosures(tables: Tables, codes: np.ndarray) -> list[dict[str, object]]:
    """All stocks under daily disclosure for the month, for different reasons."""
    rng = np.random.default_rng(2)
    classes = ("001", "002", "003", "004", "102")
    rows: list[dict[str, object]] = []
    days = tables.sessions.between(*(np.datetime64(day) for day in BUSY)).astype(object)
    for day in days[1:]:
        for number, code in enumerate(codes):
            short, long, change = rng.integers(1, 500, 3) * 100.0
            rows.append(
                {
                    "PubDate": day,
                    "Code": code,
                    "AppDate": days[list(days).index(day) - 1],
                    "ShrtOut": short,
                    "LongOut": long,
                    "LongOutChg": change,
                    "PubReason.RestrictedByJSF": "01"[number % 2],
                    "PubReason.PrecautionByJSF": "0",
                    "TSEMrgnRegCls": classes[number % len(classes)],
                }
            )
    return rows


def notices(codes: np.ndarray) -> list[dict[str, object]]:
    """The next dividend of every stock, different ones."""
    return [
        {
            "PubDate": BUSY[0],
            "PubTime": "09:00",
            "Code": code,
            "RefNo": f"202102010000{number:03}",
            "CARefNo": f"202102010000{number:03}",
            "StatCode": "1",
            "BoardDate": BUSY[0],
            "IFCode": "2",
            "FRCode": "2",
            "IFTerm": "2021-03",
            "DivRate": 1.0 + number,
            "RecDate": dt.date(2021, 3, 31),
            "ExDate": dt.date(2021, 3, 30),
            "ActRecDate": dt.date(2021, 3, 31),
        }
        for number, code in enumerate(codes)
    ]


def test_no_column_is_empty_or_constant(year: pa.Table):
    """All 3,538 columns take at least two values."""
    assert len(year.column_names) == 3540
    single = [
        name
        for name in year.column_names
        if pc.count_distinct(year[name], mode="only_valid").as_py() < 2
    ]
    assert not single


def test_no_two_base_columns_rank_the_rows_alike(year: pa.Table):
    """Rank correlation of all 87,990 pairs of base columns, at most 0.9999 in absolute value."""
    names = [feature.name for feature in catalogue.features()]
    frame = year.select(names).to_pandas().astype("float64")
    alike = np.triu(frame.rank().corr(min_periods=100).abs().to_numpy(), 1) > TWINS
    assert not [(names[i], names[j]) for i, j in np.argwhere(alike)]
