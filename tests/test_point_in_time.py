"""No value depends on later data, on where a chunk starts or ends, or on how it was computed.

Everything is compared bit for bit, over all columns of the catalogue, on a small synthetic market
with every event of the simulator and some accidents more; its quarter begins with 2020-10-01, the
day without a trade.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.features.engine import catalogue, chunk_matrix
from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.price import candle, price_return
from pipeline.market.closed_lists import MARKET_TIERS
from pipeline.market.panel.codes import is_ordinary_share
from pipeline.market.panel.market_data import Market
from tests.markets import (
    OPTIONS_FROM,
    SPEC,
    Tables,
    assert_same_rows,
    between,
    build,
    differing,
    simulated,
    with_accidents,
)

FIRST, LAST = "2020-10-01", "2020-12-31"
MONTHS = (("2020-10-01", "2020-10-31"), ("2020-11-01", "2020-11-30"), ("2020-12-01", "2020-12-31"))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return with_accidents(simulated(SPEC, OPTIONS_FROM), FIRST)


@pytest.fixture(scope="module")
def quarter(tables: Tables) -> pa.Table:
    return build(tables, FIRST, LAST).rows()


def split_days(tables: Tables) -> list[np.datetime64]:
    """Ex-dates inside the quarter."""
    bars = tables.bars.to_pandas()
    inside = bars["Date"].between(dt.date.fromisoformat(FIRST), dt.date.fromisoformat(LAST))
    return sorted(
        np.datetime64(day) for day in set(bars["Date"][inside & (bars["AdjFactor"] != 1)])
    )


def cuts(tables: Tables) -> list[np.datetime64]:
    """Days to cut at: the first, around the first and last split, three at random."""
    sessions = tables.sessions.between(np.datetime64(FIRST), np.datetime64(LAST))
    splits = split_days(tables)
    drawn = np.random.default_rng(11).choice(sessions, 3, replace=False)
    around = [tables.sessions.previous(splits[0]), splits[0], tables.sessions.previous(splits[-1])]
    return sorted({sessions[0], *around, *drawn})


def test_the_market_has_what_breaks_naive_code(tables: Tables, quarter: pa.Table):
    """All columns are there and none is empty; codes split, come, go and return in the quarter."""
    assert len(quarter.column_names) == 3540
    empty = {name for name in quarter.column_names if quarter[name].null_count == quarter.num_rows}
    assert not empty & {feature.name for feature in catalogue.features()}
    frame = quarter.select(["Date", "Code", "is_traded"]).to_pandas()
    days = frame.groupby("Code")["Date"].agg(["min", "max", "size"])
    first, last = dt.date(2020, 10, 1), dt.date(2020, 12, 30)
    assert (days["min"] > first).any()
    assert (days["max"] < last).any()
    whole = (days["min"] == first) & (days["max"] == last)
    assert (days["size"][whole] < days["size"].max()).any()
    assert not frame["is_traded"][frame["Date"] == first].any()
    assert len(split_days(tables)) >= 4


def test_a_row_does_not_change_when_later_rows_are_removed(tables: Tables, quarter: pa.Table):
    """Rows up to a cut are the same when every source ends at the cut."""
    for cut in cuts(tables):
        assert_same_rows(build(tables.until(cut), FIRST, cut).rows(), between(quarter, FIRST, cut))


def test_a_row_needs_only_what_is_public_at_its_decision_time(tables: Tables, quarter: pa.Table):
    """Rows up to a cut are the same when all sources, the calendar too, end as an observer at
    08:00 of the next trading day sees them."""
    for cut in cuts(tables)[::2]:
        seen = build(tables.public_for(cut), FIRST, cut).rows()
        assert_same_rows(seen, between(quarter, FIRST, cut))


def test_months_quarters_and_half_years_hold_the_same_rows(tables: Tables, quarter: pa.Table):
    """A split in a later month or quarter of the same chunk changes nothing before it."""
    months = [build(tables, first, last).rows() for first, last in MONTHS]
    assert_same_rows(pa.concat_tables(months).combine_chunks(), quarter)
    half_year = build(tables, "2020-07-01", LAST).rows()
    assert_same_rows(between(half_year, FIRST, LAST), quarter)


@pytest.mark.parametrize("first", ["2020-10-02", "2020-11-17", "2020-12-30"])
def test_a_chunk_may_start_on_any_day(tables: Tables, quarter: pa.Table, first: str):
    """Rows of the days after a later start are those of the whole chunk."""
    assert_same_rows(build(tables, first, LAST).rows(), between(quarter, first, LAST))


def test_more_warm_up_than_declared_changes_nothing(tables: Tables, quarter: pa.Table):
    """37 further columns of history in front: the look-backs of the catalogue suffice."""
    assert_same_rows(build(tables, FIRST, LAST, earlier=37).rows(), quarter)


def test_where_the_data_begin_months_and_half_years_agree(tables: Tables):
    """Chunks whose warm-up and even transform history are missing in front."""
    half_year = build(tables, "2018-01-01", "2018-06-30").rows()
    for first, last in (("2018-01-01", "2018-01-31"), ("2018-02-01", "2018-06-30")):
        assert_same_rows(build(tables, first, last).rows(), between(half_year, first, last))


def test_the_order_of_input_rows_does_not_matter(tables: Tables, quarter: pa.Table):
    """All rows of all sources shuffled."""
    assert_same_rows(build(tables.shuffled(3), FIRST, LAST).rows(), quarter)


def members(tables: Tables) -> set[str]:
    """Ordinary shares of the three tiers, whenever."""
    listed = tables.listed.to_pandas()
    inside = listed["Mkt"].isin(MARKET_TIERS) & (listed["S33"] != "9999")
    return {code for code in listed["Code"][inside] if is_ordinary_share(code)}


def outsiders(frame: pd.DataFrame, insiders: set[str]) -> pd.Series:
    return ~frame["Code"].isin(insiders)


def of_codes(table: pa.Table) -> bool:
    """True for tables of stocks; derivatives have codes of another kind, and indices too."""
    return "Code" in table.column_names and pc.max(pc.utf8_length(table["Code"])).as_py() == 5


def test_codes_outside_the_universe_do_not_matter(tables: Tables, quarter: pa.Table):
    """Funds and the like renamed and doubled, under codes in front of and behind all others."""
    insiders = members(tables)

    def mixed_up(table: pa.Table) -> pa.Table:
        frame = table.to_pandas()
        outside = outsiders(frame, insiders)
        copies = frame[outside].assign(Code="A" + frame["Code"].str[:3] + "0")
        frame.loc[outside, "Code"] = "00" + frame.loc[outside, "Code"].str[1:4]
        both = pd.concat([copies, frame])
        if "Mkt" in both:
            both.loc[outsiders(both, insiders), "Mkt"] = "0109"
        return pa.Table.from_pandas(both, schema=table.schema, preserve_index=False)

    changed = {name: mixed_up(table) for name, table in tables.sources.items() if of_codes(table)}
    assert_same_rows(build(tables.replaced(**changed), FIRST, LAST).rows(), quarter)


def test_threads_and_blocks_do_not_matter(
    tables: Tables, quarter: pa.Table, monkeypatch: pytest.MonkeyPatch
):
    """Two threads over blocks of seven lines give the rows of one thread and one block."""
    monkeypatch.setattr(chunk_matrix, "_BLOCK", 7)
    assert_same_rows(build(tables, FIRST, LAST, threads=2).rows(threads=2), quarter)


def test_names_of_codes_do_not_matter(tables: Tables, quarter: pa.Table):
    """All stocks exchange their codes: the rows go with them. Sums over stocks run in order of
    code, so the last digits of means may differ."""
    codes = sorted(members(tables))
    renamed = dict(zip(codes, codes[::-1], strict=True))

    def exchanged(table: pa.Table) -> pa.Table:
        frame = table.to_pandas()
        frame["Code"] = frame["Code"].map(lambda code: renamed.get(code, code))
        return pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)

    changed = {name: exchanged(table) for name, table in tables.sources.items() if of_codes(table)}
    seen = build(tables.replaced(**changed), FIRST, LAST).rows().to_pandas()
    seen["Code"] = seen["Code"].map(renamed)
    seen = seen.sort_values(["Date", "Code"], ignore_index=True)
    pd.testing.assert_frame_equal(seen, quarter.to_pandas(), rtol=1e-5, atol=1e-7)


SPLIT_DAY = dt.date(2020, 11, 24)
SHARES = {  # numbers of shares, and the date they are as of
    "breakdown": ("Date", "Vo"),
    "margin_interest": ("Date", "Vol"),
    "margin_alert": ("AppDate", ("Out", "OutChg")),
}
NOT_FREE_OF_SPLITS = (
    # what the split is told by
    "days_since_split",
    # a price by definition
    "limit_width_next_pct",
    # logarithms of shares + 100
    *("margin_lsr_log", "margin_long_chg_1w", "margin_short_chg_1w", "alert_sl_ratio_log"),
)


def split_in_two(tables: Tables, code: str) -> Tables:
    """The same market in which a code splits 1:2 on SPLIT_DAY; half is an exact number."""
    bars = tables.bars.to_pandas()
    own = (bars["Code"] == code) & (bars["Date"] >= SPLIT_DAY)
    bars.loc[own, [n for n in bars if n.lstrip("MA") in {"O", "H", "L", "C"}]] *= 0.5
    bars.loc[own, [n for n in bars if n.endswith("Vo")]] *= 2.0
    bars.loc[own & (bars["Date"] == SPLIT_DAY), "AdjFactor"] = 0.5
    changed = {"daily_bars": bars}
    for source, (date, endings) in SHARES.items():
        frame = tables.sources[source].to_pandas()
        own = (frame["Code"] == code) & (frame[date] >= SPLIT_DAY)
        frame.loc[own, [n for n in frame if n.endswith(endings)]] *= 2.0
        changed[source] = frame
    return tables.replaced(
        **{
            name: pa.Table.from_pandas(
                frame, schema=tables.sources[name].schema, preserve_index=False
            )
            for name, frame in changed.items()
        }
    )


def test_a_split_changes_nothing_but_what_tells_it(tables: Tables):
    """1:2 in the middle of the quarter, for a stock without disclosures after it: only columns
    that are about splits, or not free of the unit of a share, differ; before it, none does."""

    def disclosed_later(source: str, date: str) -> set[str]:
        frame = tables.sources[source].to_pandas()
        return set(frame["Code"][frame[date] >= SPLIT_DAY])

    bars = tables.bars.to_pandas()
    splitting = set(bars["Code"][(bars["AdjFactor"] != 1) & bars["AdjFactor"].notna()])
    later = disclosed_later("fin_summary", "DiscDate") | disclosed_later("dividend", "PubDate")
    listed = tables.listed.to_pandas()
    there = set(listed["Code"][listed["Date"] == dt.date(2020, 12, 30)]) & members(tables)
    code = min(there - later - splitting)
    expected, seen = (
        build(t, "2020-11-01", LAST).rows() for t in (tables, split_in_two(tables, code))
    )
    day_before = tables.sessions.previous(np.datetime64(SPLIT_DAY))
    assert_same_rows(between(seen, FIRST, day_before), between(expected, FIRST, day_before))
    frames = [t.filter(pc.equal(t["Code"], code)).to_pandas() for t in (seen, expected)]
    assert (frames[0]["days_since_split"].dropna() >= 0).any()
    free = [n for n in frames[0] if not n.startswith(NOT_FREE_OF_SPLITS)]
    pd.testing.assert_frame_equal(frames[0][free], frames[1][free], rtol=1e-6, atol=1e-9)


# The checks themselves are checked: each of these families breaks the rule in its own way.


def reads_a_column_ahead(values: FloatArray) -> FloatArray:
    return np.hstack([values[:, 1:], values[:, -1:]])


def subtracts_the_mean_of_the_chunk(values: FloatArray) -> FloatArray:
    return values - np.nanmean(values)


def sums_from_the_start_of_the_panel(values: FloatArray) -> FloatArray:
    return np.cumsum(np.nan_to_num(values), axis=1)


DERIVED = {
    column
    for family in catalogue.FAMILIES
    if family.SCOPE == "derived"
    for column in catalogue.columns_by_family()[family.FEATURES[0].family]
}
"""Columns made of those of other families: a fault spreads to them."""


def breaking(
    family: object, name: str, fault: Callable[[FloatArray], FloatArray]
) -> Callable[[Market], dict[str, FloatArray]]:
    honest = family.compute

    def compute(market: Market) -> dict[str, FloatArray]:
        values = dict(honest(market))
        return {**values, name: fault(values[name])}

    return compute


@pytest.mark.parametrize(
    ("family", "name", "fault"),
    [
        (candle, "kbar_len", reads_a_column_ahead),
        (price_return, "ret_prev_1d", subtracts_the_mean_of_the_chunk),
    ],
)
def test_a_leak_is_caught_by_truncation(
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
    family: object,
    name: str,
    fault: Callable[[FloatArray], FloatArray],
):
    """A family that looks at later columns gives other rows once they are removed."""
    monkeypatch.setattr(family, "compute", breaking(family, name, fault))
    cut = "2020-11-20"
    whole = build(tables, FIRST, LAST).rows()
    found = differing(build(tables.until(cut), FIRST, cut).rows(), between(whole, FIRST, cut))
    assert {name, f"{name}_zscore_20d", f"{name}_cs_rank"} & set(found)
    assert all(column.startswith(name) or column in DERIVED for column in found)


def test_a_dependence_on_the_start_of_the_chunk_is_caught(
    tables: Tables, quarter: pa.Table, monkeypatch: pytest.MonkeyPatch
):
    """A sum that runs from the first wanted column gives other rows in a later chunk."""
    fault = breaking(candle, "kbar_len", sums_from_the_start_of_the_panel)
    monkeypatch.setattr(candle, "compute", fault)
    whole = build(tables, FIRST, LAST).rows()
    later = build(tables, "2020-12-01", LAST).rows()
    assert "kbar_len" in differing(later, between(whole, "2020-12-01", LAST))
    assert {"kbar_len"} == {
        name for name in differing(whole, quarter) if name in {f.name for f in catalogue.features()}
    }
