"""Families that compare a stock with indices and with other stocks, against pandas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import talib

from tests.reference.brute import base_value
from tests.reference.cross_section import returns
from tests.reference.hand import FIELDS
from tests.reference.market import ReferenceMarket
from tests.reference.peer import correlations, estimation_date
from tests.reference.sector import SECTOR_INDEX
from tests.reference.synthetic import (
    CODE,
    COLUMNS,
    DAYS,
    LAST,
    crowd,
    flat_bars,
    market_of,
    master_of,
    random_bars,
    without_trades,
)

DEPTH = 330
"""Columns of the stocks: enough for resid_mom_250_20."""


def index_table(**seeds: int) -> pd.DataFrame:
    """Random indices by their code, written with an underscore in front."""
    tables = [random_bars(seed, code.strip("_")) for code, seed in seeds.items()]
    return pd.concat(tables)[["Date", "Code", "O", "H", "L", "C"]]


BARS, MASTER = crowd(DEPTH)
TOPIX = random_bars(100)[["Date", "O", "H", "L", "C"]]
INDICES = index_table(_0040=101, _0041=102, _0070=103, _002A=104, _002D=105, _8100=106, _8200=107)
MARKET = market_of(BARS, MASTER, topix=TOPIX, indices=INDICES)
MEMBERS = MARKET.universe(LAST.date())
C = BARS.pivot(index="Date", columns="Code", values="C")[MEMBERS]
R = C.pct_change()
VA = BARS.pivot(index="Date", columns="Code", values="Va")[MEMBERS]
FIRST_SECTOR, SECOND_SECTOR = MEMBERS[:26], MEMBERS[26:]
M = TOPIX.set_index("Date")["C"].pct_change()
INDEX = INDICES.pivot(index="Date", columns="Code", values="C")


def value(name: str, code: str = CODE, market: ReferenceMarket = MARKET) -> float | None:
    """A value on the last column."""
    return base_value(market, name, LAST, code)


T = TOPIX.set_index("Date")
MONTH = INDEX.pct_change(20).iloc[-1]
VOL = np.log(T["C"]).diff().rolling(20).std() * 252**0.5
TOPIX_REFERENCES = {
    "topix_ret_20d": T["C"].pct_change(20).iloc[-1],
    "topix_overnight": T["O"].iloc[-1] / T["C"].iloc[-2] - 1,
    "topix_intraday": T["C"].iloc[-1] / T["O"].iloc[-1] - 1,
    "topix_realized_vol_20": VOL.iloc[-1],
    "topix_vol_z_250": ((VOL - VOL.rolling(250).mean()) / VOL.rolling(250).std()).iloc[-1],
    "topix_drawdown_250d": T["C"].iloc[-1] / T["C"].rolling(250).max().iloc[-1] - 1,
    "growth250_rel_20d": MONTH["0070"] - T["C"].pct_change(20).iloc[-1],
    "small_minus_large_20d": MONTH["002D"] - MONTH["002A"],
    "value_minus_growth_20d": MONTH["8100"] - MONTH["8200"],
}


@pytest.mark.parametrize("name", TOPIX_REFERENCES)
def test_topix_and_indices(name: str) -> None:
    """One-liners of pandas."""
    assert value(name) == pytest.approx(TOPIX_REFERENCES[name], rel=1e-9)


def test_topix_oscillators_agree_with_ta_lib() -> None:
    """The finite windows are within 1e-4 points of the recursive forms."""
    high, low, close = (T[f].to_numpy() for f in ("H", "L", "C"))
    assert value("topix_rsi_14") == pytest.approx(talib.RSI(close, 14)[-1], abs=1e-4)
    assert value("topix_natr_14") == pytest.approx(talib.NATR(high, low, close, 14)[-1], abs=1e-4)


def test_a_young_topix() -> None:
    """Twenty returns need 21 columns."""
    for columns, is_known in ((21, True), (20, False)):
        market = market_of(BARS, MASTER, topix=TOPIX.iloc[-columns:])
        assert (value("topix_realized_vol_20", market=market) is not None) == is_known


def fit(y: pd.Series, x: pd.Series) -> tuple[float, float, float]:
    """Intercept, slope and sum of squared residuals."""
    design = np.column_stack([np.ones(len(x)), x])
    coefficients, rest, *_ = np.linalg.lstsq(design, y.to_numpy(), rcond=None)
    return coefficients[0], coefficients[1], rest[0]


def residuals() -> pd.Series:
    """resid_ret_1d of the stock on its last 250 columns."""
    y, x = R[CODE], M[R.index]
    found = {}
    for i in range(len(y) - 250, len(y)):
        alpha, beta, _ = fit(y.iloc[i - 60 : i], x.iloc[i - 60 : i])
        found[y.index[i]] = y.iloc[i] - alpha - beta * x.iloc[i]
    return pd.Series(found)


def test_regressions_agree_with_numpy() -> None:
    """Intercept, slope, residuals and their sums."""
    y, x = R[CODE], M[R.index]
    alpha, beta, squares = fit(y.iloc[-60:], x.iloc[-60:])
    _, before, _ = fit(y.iloc[-61:-1], x.iloc[-61:-1])
    down = x.iloc[-250:][x.iloc[-250:] < 0].index
    errors = residuals()
    momentum = errors.iloc[:-20]
    opening = BARS[BARS["Code"] == CODE]["O"].iloc[-1] / C[CODE].iloc[-2] - 1
    expected = {
        "alpha60_topix": alpha,
        "beta60_topix": beta,
        "idio_vol_60": (252 * squares / 58) ** 0.5,
        "down_beta_250": y[down].cov(x[down]) / x[down].var(),
        "resid_ret_1d": errors.iloc[-1],
        "resid_mom_250_20": momentum.sum() / momentum.std(),
        "gap_resid_topix": opening - before * TOPIX_REFERENCES["topix_overnight"],
    }
    assert {name: value(name) for name in expected} == pytest.approx(expected, rel=1e-9)


ABOVE = (C / C.rolling(20).mean() - 1 > 0).astype(float)
BACK_20 = C.pct_change(20).iloc[-1]
HIGHS = BARS.pivot(index="Date", columns="Code", values="H")[MEMBERS]
LOWS = BARS.pivot(index="Date", columns="Code", values="L")[MEMBERS]
BREADTH_REFERENCES = {
    "mkt_up_share_1d": (R.iloc[-1] > 0).mean(),
    "toraku_ratio_25d": 100
    * (R.iloc[-25:] > 0).to_numpy().sum()
    / (R.iloc[-25:] < 0).to_numpy().sum(),
    "mkt_above_sma20_share": ABOVE.iloc[-1].mean(),
    "mkt_new_high_minus_low_250": (
        (HIGHS.iloc[-1] == HIGHS.iloc[-250:].max()).mean()
        - (LOWS.iloc[-1] == LOWS.iloc[-250:].min()).mean()
    ),
    "mkt_dispersion_1d": R.iloc[-1].std(),
    "mkt_avg_corr_60": R.iloc[-60:].mean(axis=1).var() / R.iloc[-60:].var().mean(),
    "sector_breadth_up_1d": (R.iloc[-1][FIRST_SECTOR] > 0).mean(),
    "sector_breadth_sma20": ABOVE.iloc[-1][FIRST_SECTOR].mean(),
    "sector_dispersion_1d": R.iloc[-1][FIRST_SECTOR].std(),
    "sec17_ret_20d": BACK_20.mean(),
    "rel_to_sec17_20d": BACK_20[CODE] - BACK_20.mean(),
    "pct_in_sector_ret_20d": (BACK_20[FIRST_SECTOR].rank()[CODE] - 1) / 25,
    "sector_idx_ret_5d": INDEX["0040"].pct_change(5).iloc[-1],
    "rel_to_sector_idx_5d": (C[CODE].pct_change(5) - INDEX["0040"].pct_change(5)).iloc[-1],
    "sector_idx_vol_20": np.log(INDEX["0040"]).diff().rolling(20).std().iloc[-1] * 252**0.5,
    "sector_idx_ema_gap_5_20": INDEX["0040"].iloc[-42:].ewm(span=5).mean().iloc[-1]
    / INDEX["0040"].iloc[-147:].ewm(span=20).mean().iloc[-1]
    - 1,
}


@pytest.mark.parametrize("name", BREADTH_REFERENCES)
def test_breadth_and_sectors(name: str) -> None:
    """One-liners of pandas over the thirty members, 26 of them in the sector of the stock."""
    assert value(name) == pytest.approx(BREADTH_REFERENCES[name], rel=1e-9, abs=1e-12)


def test_a_small_sector() -> None:
    """The sector of four has an index, but no share and no mean; its S17 has thirty members."""
    code = SECOND_SECTOR[0]
    for name in ("sector_breadth_up_1d", "sector_dispersion_1d", "pct_in_sector_ret_20d"):
        assert value(name, code) is None
    assert value("sector_idx_ret_1d", code) == pytest.approx(INDEX["0041"].pct_change().iloc[-1])
    assert value("sec17_ret_20d", code) == pytest.approx(BACK_20.mean())


def test_the_table_of_sector_indices() -> None:
    """33 sectors, their indices numbered in hexadecimal from 0040 on."""
    assert list(SECTOR_INDEX.values()) == [f"{0x40 + i:04X}" for i in range(33)]
    assert sorted(SECTOR_INDEX) == list(SECTOR_INDEX)


def excess_correlations(last: dt.date) -> pd.DataFrame:
    """Correlations of the members' returns less their mean, 120 columns up to a date."""
    y = R.loc[: pd.Timestamp(last)].iloc[-120:]
    return y.sub(y.mean(axis=1), axis=0).corr()


def test_peers_agree_with_pandas() -> None:
    """Estimated on the Friday before T; the ten closest."""
    friday = estimation_date(MARKET, LAST.date())
    assert friday is not None
    assert friday.isoweekday() == 5
    assert 0 < (LAST.date() - friday).days <= 7
    own = excess_correlations(friday)[CODE].drop(CODE).sort_values(ascending=False)
    closest = own.index[:10]
    expected = {
        "peer_corr_mean_10": own.iloc[:10].mean(),
        "peer_degree_0p5": (own >= 0.5).sum(),
        "peer_ret_1d": R.iloc[-1][closest].mean(),
        "peer_rel_5d": (C[CODE].pct_change(5) - C[closest].pct_change(5).mean(axis=1)).iloc[-1],
    }
    assert {name: value(name) for name in expected} == pytest.approx(expected, rel=1e-9)


def test_estimation_week() -> None:
    """Friday belongs to the next week's rows; a holiday Friday leaves Thursday."""
    thursday, friday, monday = (day.date() for day in DAYS[[8, 9, 10]])
    assert (thursday.isoweekday(), monday.isoweekday()) == (4, 1)
    assert estimation_date(MARKET, friday) == DAYS[4].date()
    assert estimation_date(MARKET, monday) == friday
    calendar = pd.DataFrame({"Date": DAYS.delete(9), "HolDiv": "1"})
    short = ReferenceMarket(flat_bars(n=1), master_of(flat_bars(n=1)), calendar)
    assert estimation_date(short, monday) == thursday
    assert estimation_date(short, DAYS[3].date()) is None


def test_equal_correlations_are_taken_in_the_order_of_codes() -> None:
    """Among copies of one stock the smallest codes are the peers."""
    codes = [f"{1301 + i}0" for i in range(14)]
    seeds = [1] * 12 + [2, 3]
    bars = pd.concat([random_bars(s, c, n=140) for s, c in zip(seeds, codes, strict=True)])
    market = market_of(bars.reset_index(drop=True))
    friday = estimation_date(market, LAST.date())
    assert friday is not None
    assert correlations(market, friday)[codes[11]].closest == codes[:10]
    assert correlations(market, friday)[codes[0]].closest == codes[1:11]


def test_ten_stocks_are_too_few_for_peers() -> None:
    """Eleven are needed: ten peers besides the stock."""
    for count, is_known in ((11, True), (10, False)):
        few = BARS["Code"].isin(MEMBERS[:count])
        market = market_of(BARS[few].reset_index(drop=True), MASTER[few])
        assert (value("peer_corr_mean_10", market=market) is not None) == is_known


def test_leaders_of_a_sector() -> None:
    """The three members with the largest turnover, weighted with it, never the stock itself."""
    size = VA.rolling(60).mean().iloc[-1][FIRST_SECTOR]
    for code in (str(size.idxmax()), str(size.idxmin())):
        leaders = size.drop(code).nlargest(3)
        expected = (C.pct_change(5).iloc[-1][leaders.index] * leaders).sum() / leaders.sum()
        assert value("sector_leaders_ret_5d", code) == pytest.approx(expected)
    assert value("sector_leaders_ret_5d", SECOND_SECTOR[0]) is not None


def with_splits(bars: pd.DataFrame) -> pd.DataFrame:
    """A split and a reverse split, prices as they were then."""
    bars = bars.copy()
    for column, factor in ((len(bars) - 30, 0.5), (len(bars) - 7, 3.0)):
        bars.loc[: column - 1, ["O", "H", "L", "C"]] /= factor
        bars.loc[column, "AdjFactor"] = factor
    return bars


def without_records(bars: pd.DataFrame, ago: range) -> pd.DataFrame:
    """The same bars without those of the columns that many days before the last one."""
    return bars.drop(index=bars.index[len(bars) - 1 - np.array(ago)])


@pytest.mark.parametrize("gap", [19, 20, 21])
@pytest.mark.parametrize("change", [without_trades, without_records])
def test_the_walk_over_all_columns_gives_the_returns_of_the_histories(
    gap: int, change: Callable[[pd.DataFrame, range], pd.DataFrame]
) -> None:
    """Also across splits, days without a trade, and days without a record."""
    bars = with_splits(random_bars(5, n=100).reset_index(drop=True))
    market = market_of(change(bars, range(20, 20 + gap)))
    found = returns(market, CODE)
    histories = {day: market.history(CODE, day) for day in found}
    expected = {day: s.r[-1] for day, s in histories.items() if s is not None}
    pd.testing.assert_series_equal(
        pd.Series(found, dtype=float), pd.Series(expected, dtype=float), rtol=1e-9
    )


def test_size_deciles_and_schedules_need_their_tables() -> None:
    """Null without the table, whatever could be counted."""
    for name in ("size_peer_rel_20d", "mkt_earn_density_5d", "sector_earn_density_5d"):
        assert value(name) is None


def test_size_deciles() -> None:
    """Thirty stocks by market value; the last of 29 steps belongs to the tenth decile."""
    rng = np.random.default_rng(9)
    shares = pd.Series(rng.integers(1000, 100000, len(MEMBERS)).astype(float), MEMBERS)
    rows: list[dict[str, object]] = [
        {
            "Code": code,
            "DiscDate": DAYS[COLUMNS - 30].date(),
            "DocType": "FYFinancialStatements_Consolidated_JP",
            "CurPerType": "FY",
            "CurPerEn": DAYS[COLUMNS - 60].date(),
            "CurFYEn": DAYS[COLUMNS - 60].date(),
            "ShOutFY": count,
        }
        for code, count in shares.items()
    ]
    statements = pd.DataFrame(rows).reindex(columns=FIELDS["fin_summary"].split()).astype(object)
    market = market_of(BARS, MASTER, fin_summary=statements)
    rank = (C.iloc[-1] * shares).rank()
    decile = np.minimum(9, np.floor(10 * (rank - 1) / 29))
    expected = BACK_20 - BACK_20.groupby(decile).transform("mean")
    found = pd.Series({code: value("size_peer_rel_20d", code, market) for code in MEMBERS})
    pd.testing.assert_series_equal(found, expected, check_names=False, rtol=1e-9)


def test_earnings_densities() -> None:
    """Reports in one, five and six columns: two of the three are soon."""
    here = COLUMNS - 1
    rows = [
        {"Code": code, "PubDate": DAYS[here - 9], "SchDate": DAYS[here + ahead], "FYE": "1231"}
        for code, ahead in ((MEMBERS[0], 1), (MEMBERS[1], 5), (MEMBERS[2], 6), (MEMBERS[29], 2))
    ]
    market = market_of(BARS, MASTER, earnings_date=pd.DataFrame(rows).assign(FQName="1Q"))
    assert value("mkt_earn_density_5d", market=market) == pytest.approx(3 / 30)
    assert value("sector_earn_density_5d", market=market) == pytest.approx(2 / 26)
    assert value("sector_earn_density_5d", MEMBERS[29], market) is None
