"""What all sources have in common: fields, missing values, repeatability, a past that stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from pipeline.simulator import Market
from pipeline.simulator.server.endpoint_table import ENDPOINTS
from tests.simulator.conftest import END, SPEC, START
from tests.simulator.test_determinism import assert_same
from tests.simulator.viewing import rows

GROUPS = "Prop Brk Tot Ind Frgn SecCo InvTr BusCo OthCo InsCo Bank TrstBnk OthFin".split()
SOURCES = {
    "/indices/bars/daily": "indices",
    "/equities/investor-types": "investor_types",
    "/equities/valuation": "valuation",
    "/fins/summary": "fin_summary",
    "/fins/dividend": "dividend",
    "/fins/earnings-date": "earnings_date",
    "/markets/margin-interest": "margin_interest",
    "/markets/margin-alert": "margin_alert",
    "/markets/short-ratio": "short_ratio",
    "/markets/short-sale-report": "short_sale",
    "/markets/breakdown": "breakdown",
    "/derivatives/bars/daily/futures": "futures",
}
FIELDS = {
    "/indices/bars/daily": "Date Code O H L C",
    "/equities/investor-types": "PubDate StDate EnDate Section "
    + " ".join(f"{g}{x}" for g in GROUPS for x in ("Sell", "Buy", "Tot", "Bal")),
    "/equities/valuation": "Date Code EPS FwdEPS BPS ROE FwdROE PER FwdPER PBR MktCap",
    "/fins/dividend": "PubDate PubTime Code RefNo StatCode BoardDate IFCode FRCode IFTerm DivRate"
    " RecDate ExDate ActRecDate PayDate CARefNo DistAmt RetEarn DeemDiv DeemCapGains"
    " NetAssetDecRatio CommSpecCode CommDivRate SpecDivRate",
    "/fins/earnings-date": "PubDate SchDate FQName FYE Code CoName CoNameEn",
    "/markets/margin-interest": "PubDate Date Code IssType ShrtVol LongVol ShrtNegVol LongNegVol"
    " ShrtStdVol LongStdVol ShrtVal LongVal ShrtNegVal LongNegVal ShrtStdVal LongStdVal",
    "/markets/margin-alert": "PubDate Code AppDate PubReason ShrtOut ShrtOutChg ShrtOutRatio"
    " LongOut LongOutChg LongOutRatio SLRatio ShrtNegOut ShrtNegOutChg ShrtStdOut ShrtStdOutChg"
    " LongNegOut LongNegOutChg LongStdOut LongStdOutChg TSEMrgnRegCls",
    "/markets/short-ratio": "Date S33 SellExShortVa ShrtWithResVa ShrtNoResVa",
    "/markets/short-sale-report": "DiscDate CalcDate Code SSName SSAddr DICName DICAddr FundName"
    " ShrtPosToSO ShrtPosShares ShrtPosUnits PrevRptDate PrevRptRatio Notes",
    "/markets/breakdown": "Date Code LongSellVa ShrtNoMrgnVa MrgnSellNewVa MrgnSellCloseVa"
    " LongBuyVa MrgnBuyNewVa MrgnBuyCloseVa LongSellVo ShrtNoMrgnVo MrgnSellNewVo"
    " MrgnSellCloseVo LongBuyVo MrgnBuyNewVo MrgnBuyCloseVo",
    "/derivatives/bars/daily/futures": "Code ProdCat Date O H L C MO MH ML MC EO EH EL EC AO AH AL"
    " AC Vo OI Va CM VoOA EmMrgnTrgDiv LTD SQD Settle CCMFlag",
}
PLANS = {
    "/indices/bars/daily": "standard",
    "/equities/investor-types": "light",
    "/equities/valuation": "light",
    "/fins/summary": "free",
    "/fins/dividend": "premium",
    "/fins/earnings-date": "light",
    "/markets/margin-interest": "standard",
    "/markets/margin-alert": "standard",
    "/markets/short-ratio": "standard",
    "/markets/short-sale-report": "standard",
    "/markets/breakdown": "premium",
    "/derivatives/bars/daily/futures": "premium",
}
# A day of the market of 2026 with rows in every source that is asked for by day.
DAY_PARAMETER = {"/markets/short-sale-report": "disc_date"}
YEAR_END = (date(2020, 12, 1), date(2021, 1, 20))
DAYS = {"/markets/margin-interest": "2026-10-06"}


@pytest.mark.parametrize("path", FIELDS)
def test_rows_have_the_documented_fields_in_their_order(recent, path):
    """Names and order are those of the specification."""
    if path == "/equities/investor-types":
        found = rows(recent, path, from_="2026-06-01")
    else:
        name = DAY_PARAMETER.get(path, "date")
        month = [DAYS.get(path)] if path in DAYS else [f"2026-05-{d:02d}" for d in range(7, 29)]
        found = [row for day in month for row in rows(recent, path, **{name: day})]
    assert found
    for row in found:
        assert list(row) == FIELDS[path].split()


def test_every_source_has_its_lowest_plan():
    """As in the table of plans."""
    assert {path: ENDPOINTS[path].plan for path in PLANS} == PLANS


def test_margin_balances_had_nine_fields_before_the_daily_era(recent):
    """The order of the keys was another one, too."""
    (row, *_) = rows(recent, "/markets/margin-interest", now="2026-09-27T20:00", date="2026-09-11")
    assert list(row) == (
        "Date Code ShrtVol LongVol ShrtNegVol LongNegVol ShrtStdVol LongStdVol IssType".split()
    )


@pytest.mark.parametrize("source", SOURCES.values())
def test_each_source_has_rows_and_equal_columns(market, source):
    """Columns of one length; the key dates ascend."""
    columns = market.rows(source, *((START, END) if source != "futures" else YEAR_END))
    assert len({values.size for values in columns.values()}) == 1
    first = next(name for name in ("PubDate", "DiscDate", "Date") if name in columns)
    if source == "margin_interest":
        first = "Date"
    if source != "fin_summary":
        assert (columns[first][:-1] <= columns[first][1:]).all()
    assert columns[first].size > 100


@pytest.mark.parametrize("source", SOURCES.values())
def test_a_range_is_the_sum_of_its_days(market, source):
    """Asking day by day gives the same rows, closed days included."""
    first, last = date(2021, 5, 6), date(2021, 5, 19)
    whole = market.rows(source, first, last)
    days = [date.fromordinal(n) for n in range(first.toordinal(), last.toordinal() + 1)]
    parts = [market.rows(source, day) for day in days]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    if source == "fin_summary":  # a range comes by number, which is older than the day
        order = np.argsort(joined["DiscNo"].astype("U14"))
        joined = {name: values[order] for name, values in joined.items()}
    assert_same(whole, joined)


@pytest.mark.parametrize("end", [date(2021, 3, 31), date(2021, 5, 20)])
def test_another_end_leaves_the_past_of_every_source_alone(market, end):
    """Rows up to a date do not depend on how far the market runs."""
    other = Market(replace(SPEC, end=end))
    for source in SOURCES.values():
        first, last = date(2021, 1, 25), date(2021, 3, 31)
        assert_same(other.rows(source, first, last), market.rows(source, first, last))


def test_one_question_to_a_fresh_market_gives_what_the_made_one_has(market):
    """No source depends on what was asked before it."""
    for source in ("short_ratio", "margin_alert", "valuation", "short_sale"):
        fresh = Market(replace(SPEC, end=date(2021, 1, 8)))
        day = date(2020, 12, 2)
        assert_same(fresh.rows(source, day), market.rows(source, day))


@pytest.mark.parametrize("source", SOURCES.values())
def test_every_source_is_an_arrow_table_too(market, source):
    """Columns with marks become text, objects become structs."""
    table = market.table(source, date(2021, 5, 10), date(2021, 5, 14))
    assert (
        table.num_rows
        == market.rows(source, date(2021, 5, 10), date(2021, 5, 14))[table.column_names[0]].size
    )


CODED = [s for s in SOURCES.values() if s not in ("investor_types", "short_ratio", "futures")]


@pytest.mark.parametrize("source", CODED)
def test_a_code_selects_its_own_rows(market, source):
    """The same rows as those of the code among all."""
    first, last = date(2021, 4, 1), date(2021, 6, 30)
    every = market.rows(source, first, last)
    code = every["Code"][every["Code"].size // 2]
    keep = every["Code"] == code
    own = market.rows(source, first, last, code=code)
    assert own["Code"].size
    assert_same(own, {name: values[keep] for name, values in every.items()})
