"""Family valuation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.features.fundamental import valuation
from pipeline.market.panel.market_data import Market
from tests.market.filings import Row, filing
from tests.market.hand import Stock, assembled, calendar, tables, weekdays

NAN = float("nan")
CODE = "10010"


def market_of(*stocks: Stock, rows: Sequence[Row], n_out: int, start: int = 0) -> Market:
    """The stocks and statements from the column ``start`` on."""
    bars, listed = tables(*stocks)
    n = len(stocks[0].closes)
    summary = pa.Table.from_pylist(list(rows), endpoint_of("fin_summary").schema)
    return assembled(bars, listed, calendar(n), weekdays(n)[start:], n_out, fin_summary=summary)


def compute(market: Market) -> dict[str, np.ndarray]:
    """All columns of the family, codes x wanted columns."""
    values = valuation.compute(market)
    assert {x.shape for x in values.values()} == {(market.panel.n_lines, market.axis.n_out)}
    return {name: market.panel.pick(x) for name, x in values.items()}


def year(column: int, end: str, **figures: float | None) -> Row:
    return filing(column, end, "FY", **figures)


STATED = {"NP": 50.0, "Eq": 800.0, "Sales": 2000.0, "CFO": 90.0, "ShOutFY": 12.0, "TrShFY": 2.0}


def test_the_family_returns_what_it_declares():
    """Declared names, float64; nothing without statements."""
    market = market_of(Stock(CODE, [100.0] * 30), rows=[], n_out=5)
    values = valuation.compute(market)
    assert set(values) == {feature.name for feature in valuation.FEATURES}
    assert {x.dtype for x in values.values()} == {np.dtype(np.float64)}
    assert all(np.isnan(x).all() for x in values.values())


def test_items_of_the_statements_over_the_market_value():
    """10 shares outstanding at 100 yen are worth 1,000; nothing before the disclosure."""
    rows = [year(2, "2023-03", **STATED, NxFNp=60.0)]
    values = compute(market_of(Stock(CODE, [100.0] * 3 + [200.0]), rows=rows, n_out=4))
    expected = {
        "log_mktcap": [NAN, NAN, np.log(1000.0), np.log(2000.0)],
        "ep_ttm": [NAN, NAN, 0.05, 0.025],
        "ep_fwd": [NAN, NAN, 0.06, 0.03],
        "bp": [NAN, NAN, 0.8, 0.4],
        "sp_ttm": [NAN, NAN, 2.0, 1.0],
        "cfp_ttm": [NAN, NAN, 0.09, 0.045],
        "ep_ttm_z_250": [NAN] * 4,
    }
    for name, x in expected.items():
        np.testing.assert_allclose(values[name][0], x, rtol=1e-15, err_msg=name)


def test_a_split_moves_price_and_shares_together():
    """No value knows of it, neither on the ex-date nor on the columns before."""
    factors = {6: 0.25}
    plain = Stock(CODE, [100.0 + i for i in range(10)])
    closes = [c * (0.25 if i >= 6 else 1.0) for i, c in enumerate(plain.closes)]
    rows = [year(2, "2023-03", **STATED, NxFNp=60.0)]
    expected = compute(market_of(plain, rows=rows, n_out=8))
    market = market_of(Stock(CODE, closes, factors=factors), rows=rows, n_out=8)
    assert market.panel.n_lines == 2
    for name, x in compute(market).items():
        np.testing.assert_allclose(x, expected[name], rtol=1e-12, err_msg=name)


def test_cash_flows_are_those_of_the_last_period_that_reports_them():
    """The first quarter has none, so the year before it stands."""
    rows = [year(1, "2023-03", **STATED), filing(2, "2024-03", "1Q", **{**STATED, "CFO": None})]
    values = compute(market_of(Stock(CODE, [100.0] * 4), rows=rows, n_out=2))
    assert values["cfp_ttm"].tolist() == [[0.09, 0.09]]


@pytest.mark.parametrize(("issued", "log", "bp"), [(2.0, NAN, NAN), (1.0, NAN, -8.0)])
def test_without_shares_outstanding_there_is_no_market_value(issued: float, log: float, bp: float):
    """0 is no denominator; of a negative number, a mistake of the source, there is no logarithm."""
    rows = [year(1, "2023-03", **{**STATED, "ShOutFY": issued})]
    values = compute(market_of(Stock(CODE, [100.0] * 3), rows=rows, n_out=1))
    np.testing.assert_equal(values["log_mktcap"][0, 0], log)
    np.testing.assert_equal(values["bp"][0, 0], bp)


def test_without_a_price_there_is_no_value():
    """A close is carried for 20 columns."""
    stock = Stock(CODE, [100.0] * 3 + [NAN] * 22)
    values = compute(market_of(stock, rows=[year(0, "2023-03", **STATED)], n_out=25))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(values["bp"][0])), [23, 24])


def test_a_value_ends_200_columns_after_the_disclosure():
    """Whatever the price does."""
    market = market_of(Stock(CODE, [100.0] * 210), rows=[year(5, "2023-03", **STATED)], n_out=10)
    np.testing.assert_equal(compute(market)["bp"][0], [0.8] * 6 + [NAN] * 4)


def walk(n: int, seed: int = 1) -> list[float]:
    steps = np.random.default_rng(seed).normal(0.0, 0.02, n)
    return np.round(1000.0 * np.exp(np.cumsum(steps)), 1).tolist()


def long_rows() -> list[Row]:
    """Results of a year on column 60, corrected on 200, and of the next year on 250."""
    return [
        year(60, "2023-03", **STATED),
        year(200, "2023-03", NP=45.0),
        year(250, "2024-03", **{**STATED, "NP": 70.0, "ShOutFY": 14.0}),
    ]


def test_the_z_score_takes_price_shares_and_statement_of_each_column():
    """Over 250 columns with at least 125 values: the correction changes no column before it."""
    closes = walk(450)
    market = market_of(Stock(CODE, closes), rows=long_rows(), n_out=300)
    profit, shares = np.full(450, NAN), np.full(450, 10.0)
    profit[60:], profit[200:], profit[250:], shares[250:] = 50.0, 45.0, 70.0, 12.0
    earnings = profit / (np.array(closes) * shares)
    values = compute(market)
    np.testing.assert_allclose(values["ep_ttm"][0], earnings[150:], rtol=1e-14)
    for t in range(150, 450):
        window = earnings[max(t - 249, 0) : t + 1]
        window = window[~np.isnan(window)]
        expected = (earnings[t] - window.mean()) / window.std(ddof=1) if window.size >= 125 else NAN
        np.testing.assert_allclose(values["ep_ttm_z_250"][0, t - 150], expected, rtol=1e-9)
    assert np.isnan(values["ep_ttm_z_250"][0, 33])
    assert np.isfinite(values["ep_ttm_z_250"][0, 34])


def test_a_price_that_never_moves_has_no_z_score():
    """A deviation of 0 is no denominator."""
    market = market_of(Stock(CODE, [123.4] * 200), rows=[year(3, "2023-03", **STATED)], n_out=1)
    assert np.isnan(compute(market)["ep_ttm_z_250"]).all()


def test_the_window_of_the_z_score_does_not_reach_into_an_earlier_listing():
    """A code that returns begins anew; its statements are its own all the time."""
    stock = Stock(CODE, walk(360), unlisted=range(200, 225))
    rows = [year(100, "2023-03", **STATED), year(240, "2024-03", **STATED)]
    values = compute(market_of(stock, rows=rows, n_out=30))
    assert np.isfinite(values["ep_ttm"]).all()
    z = values["ep_ttm_z_250"][0]  # column 225 + 124 = 349 is the first with 125 values
    np.testing.assert_array_equal(np.isnan(z), np.arange(330, 360) < 349)


def test_where_the_panel_begins_and_ends_changes_nothing():
    """Bit for bit: the warm-up in front, the last column, other codes and a later split."""
    stocks = (
        Stock("10000", walk(700, 2)),
        Stock(CODE, walk(700), factors={510: 0.5, 645: 0.3}),
        Stock("10020", walk(700, 3)),
    )
    rows = [
        filing(c, f"{2021 + c // 240}-03", p, code=CODE, **{**STATED, "NP": 10.0 + c, "FNP": 9.0})
        for i, c in enumerate(range(0, 700, 60))
        for p in (("1Q", "2Q", "3Q", "FY")[i % 4],)
    ]
    whole = compute(market_of(*stocks, rows=rows, n_out=130))
    shorter = Stock(CODE, stocks[1].closes[:640], factors={510: 0.5})
    part = compute(market_of(shorter, rows=rows, n_out=20, start=100))
    for name, x in part.items():
        assert np.isfinite(x).all(), name
        np.testing.assert_array_equal(x[0], whole[name][1, 50:70], err_msg=name)
