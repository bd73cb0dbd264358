"""Family fundamental."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.fundamental import fundamental
from pipeline.market.panel.axis import Axis
from tests.market.filings import Row, axis_of, book_of, filing

NAN = float("nan")
PERIODS = ("1Q", "2Q", "3Q", "FY")
STEP = 60  # columns between two statements


def compute(*rows: Row, axis: Axis | None = None) -> dict[str, np.ndarray]:
    """All columns of the family, by default over 300 columns, all of them wanted."""
    axis = axis or axis_of()
    market = SimpleNamespace(axis=axis, statements=book_of(*rows, axis=axis))
    return fundamental.compute(market)


def of(values: dict[str, np.ndarray], name: str, *columns: int) -> list[float]:
    """A column of the first code; the prefix left out."""
    return values[f"fs_{name}"][0, list(columns)].tolist()


class Company:
    """Quarters of a company, disclosed one every STEP columns; the first year ends 2020-03.

    Attributes:
        quarterly: flows of the single quarters, by field.
        stocks: balances at the ends of the quarters, by field.
    """

    N = 16

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        flows = {"Sales": (900.0, 100.0), "OP": (60.0, 30.0), "NP": (30.0, 20.0)}
        flows |= {"CFO": (50.0, 30.0), "CFI": (-40.0, 20.0)}
        stocks = {"TA": (5000.0, 300.0), "Eq": (2000.0, 100.0), "CashEq": (700.0, 50.0)}
        self.quarterly = {k: np.round(rng.normal(m, s, self.N)) for k, (m, s) in flows.items()}
        self.stocks = {k: np.round(rng.normal(m, s, self.N)) for k, (m, s) in stocks.items()}

    def rows(self) -> list[Row]:
        result = []
        for i in range(self.N):
            start, period = i - i % 4, PERIODS[i % 4]
            figures = {k: float(x[start : i + 1].sum()) for k, x in self.quarterly.items()}
            figures |= {k: float(x[i]) for k, x in self.stocks.items()}
            if period in ("1Q", "3Q"):
                for field in ("CFO", "CFI", "CashEq"):
                    del figures[field]
            result.append(filing(i * STEP, f"{2020 + i // 4}-03", period, **figures))
        return result

    def ttm(self, field: str, i: int) -> float:
        """Sum of four single quarters up to the i-th; without all of them no value."""
        return float(self.quarterly[field][i - 3 : i + 1].sum()) if i >= 3 else NAN

    def stock(self, field: str, i: int) -> float:
        return float(self.stocks[field][i]) if i >= 0 else NAN

    def quarter(self, field: str, i: int) -> float:
        return float(self.quarterly[field][i]) if i >= 0 else NAN

    def surprise(self, i: int) -> float:
        np_ = self.quarterly["NP"]
        changes = [np_[j] - np_[j - 4] for j in range(max(i - 8, 4), i + 1)]
        if len(changes) < 7:
            return NAN
        return float(changes[-1] / np.std(changes[:-1], ddof=1))

    def expected(self, i: int) -> dict[str, float]:
        """Values while the i-th quarter is the latest, from single quarters."""
        c = i if i % 2 else i - 1  # the quarter that reports cash flows
        margin = [self.ttm("OP", j) / self.ttm("Sales", j) for j in (i, i - 4)]
        assets, assets_before = self.stock("TA", i), self.stock("TA", i - 4)
        equity, equity_before = self.stock("Eq", i), self.stock("Eq", i - 4)
        sales = self.quarter("Sales", i - 4)
        return {
            "op_margin_ttm": margin[0],
            "np_margin_ttm": self.ttm("NP", i) / self.ttm("Sales", i),
            "roe_ttm": self.ttm("NP", i) / np.nanmean([equity, equity_before]),
            "roa_ttm": self.ttm("NP", i) / np.nanmean([assets, assets_before]),
            "cfo_to_assets": self.ttm("CFO", c) / self.stock("TA", c),
            "accruals": (self.ttm("NP", c) - self.ttm("CFO", c)) / self.stock("TA", c),
            "fcf_to_assets": (self.ttm("CFO", c) + self.ttm("CFI", c)) / self.stock("TA", c),
            "equity_ratio": equity / assets,
            "cash_ratio": self.stock("CashEq", c) / self.stock("TA", c),
            "asset_turnover": self.ttm("Sales", i) / ((assets + assets_before) / 2),
            "sales_yoy_ttm": self.ttm("Sales", i) / self.ttm("Sales", i - 4) - 1,
            "op_chg_to_assets": (self.ttm("OP", i) - self.ttm("OP", i - 4)) / assets,
            "sales_q_yoy": self.quarter("Sales", i) / sales - 1,
            "op_q_chg_to_sales": (self.quarter("OP", i) - self.quarter("OP", i - 4)) / sales,
            "op_margin_chg_yoy": margin[0] - margin[1],
            "asset_growth_yoy": assets / assets_before - 1,
            "sue_np": self.surprise(i),
            "quarter": i % 4 + 1,
            "accounting_std": 1.0,
            "is_consolidated": 1.0,
        }


def test_a_company_that_reports_every_quarter():
    """Values of 16 quarters from their single flows; each holds until the next disclosure."""
    company = Company()
    values = compute(*company.rows(), axis=axis_of(columns=Company.N * STEP))
    for i in range(Company.N):
        for name, expected in company.expected(i).items():
            seen = of(values, name, i * STEP, i * STEP + STEP - 1)
            np.testing.assert_allclose(seen, [expected] * 2, rtol=1e-12, err_msg=f"{name} {i}")


def test_the_family_returns_what_it_declares():
    """Declared names, float64, (codes, n_out); values of the last columns."""
    rows = Company().rows()
    values = compute(*rows, axis=axis_of(("10000", "10010"), columns=900, n_out=30))
    assert set(values) == {feature.name for feature in fundamental.FEATURES}
    whole = compute(*rows, axis=axis_of(columns=900))
    for name, x in values.items():
        assert x.shape == (2, 30)
        assert x.dtype == np.float64
        assert np.isnan(x[0]).all()
        np.testing.assert_array_equal(x[1], whole[name][0, -30:], err_msg=name)


def test_every_column_counts_the_days_since_the_first_disclosure():
    """Up to 200, null after that with everything else; a correction starts no new count."""
    values = compute(
        filing(10, "2023-03", "1Q", Eq=1.0, TA=2.0), filing(50, "2023-03", "1Q", TA=4.0)
    )
    seen = of(values, "days_since_disclosure", 9, 10, 49, 50, 210, 211)
    np.testing.assert_equal(seen, [NAN, 0.0, 39.0, 40.0, 200.0, NAN])
    np.testing.assert_equal(of(values, "equity_ratio", 49, 50, 210, 211), [0.5, 0.25, 0.25, NAN])
    assert all(np.isnan(x[0, 211:]).all() for x in values.values())


def test_the_report_lag_is_that_of_the_first_disclosure():
    """Calendar days after the end of the period; stamped on a Sunday it is the Sunday's."""
    sunday = dt.date(2023, 2, 12)
    rows = [filing(29, "2023-03", "3Q", DiscDate=sunday), filing(60, "2023-03", "3Q")]
    values = compute(*rows)
    assert of(values, "report_lag_days", 30, 100) == [43.0, 43.0]


@pytest.mark.parametrize(
    ("kind", "standard", "consolidated"),
    [
        ("FYFinancialStatements_Consolidated_JP", 1, 1),
        ("FYFinancialStatements_NonConsolidated_JP", 1, 0),
        ("1QFinancialStatements_Consolidated_IFRS", 2, 1),
        ("FYFinancialStatements_Consolidated_US", 3, 1),
        ("FYFinancialStatements_Consolidated_JMIS", 4, 1),
        ("FYFinancialStatements_NonConsolidated_Foreign", 5, 0),
        ("FYFinancialStatements_Consolidated_REIT", 6, 1),
    ],
)
def test_the_document_type_of_the_last_row(kind: str, standard: float, consolidated: float):
    """A correction under another type replaces that of the first disclosure."""
    values = compute(
        filing(10, "2023-03", "FY", kind="Consolidated_US"),
        filing(50, "2023-03", "FY", DocType=kind),
    )
    assert of(values, "accounting_std", 49, 50) == [3.0, standard]
    np.testing.assert_equal(of(values, "is_consolidated", 49, 50), [1.0, consolidated])


@pytest.mark.parametrize(
    "kind", ["FYFinancialStatements_Consolidated_KR", "FYFinancialStatements", "Unheard-of"]
)
def test_a_filing_of_an_unknown_document_type_is_not_read(kind: str):
    """Nobody knows what it says: the statement before it stays in force."""
    values = compute(
        filing(10, "2023-03", "FY", kind="Consolidated_US"),
        filing(50, "2023-03", "FY", DocType=kind),
    )
    assert of(values, "accounting_std", 49, 50) == [3.0, 3.0]
    assert of(values, "is_consolidated", 49, 50) == [1.0, 1.0]


def test_four_quarters_at_the_year_end_are_the_year():
    """No earlier record is needed there; returns use the one balance there is."""
    values = compute(filing(10, "2023-03", "FY", Sales=400.0, OP=40.0, NP=20.0, Eq=80.0, TA=200.0))
    seen = {name: of(values, name, 10)[0] for name in ("op_margin_ttm", "roe_ttm", "roa_ttm")}
    assert seen == {"op_margin_ttm": 0.1, "roe_ttm": 0.25, "roa_ttm": 0.1}
    assert np.isnan(of(values, "asset_turnover", 10)).all()
    assert np.isnan(of(values, "sales_yoy_ttm", 10)).all()


def two_years(**changes: object) -> list[Row]:
    """First quarters and the year between them: sales 100 of 450, then 150, so TTM 500."""
    return [
        filing(0, "2022-03", "1Q", Sales=100.0, OP=10.0, NP=5.0),
        filing(1, "2022-03", "FY", Sales=450.0, OP=45.0, NP=20.0),
        filing(2, "2023-03", "1Q", **{"Sales": 150.0, "OP": 15.0, "NP": 6.0, **changes}),
    ]


def test_four_quarters_by_difference():
    """cum(f,1Q) + cum(f-1,FY) - cum(f-1,1Q), and the first quarter against the first quarter."""
    values = compute(*two_years())
    assert of(values, "op_margin_ttm", 2) == [50.0 / 500.0]
    assert of(values, "np_margin_ttm", 2) == [21.0 / 500.0]
    assert of(values, "sales_q_yoy", 2) == [0.5]
    assert of(values, "op_q_chg_to_sales", 2) == [0.05]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_record_makes_the_difference_null(missing: int):
    """Neither the year before nor its first quarter can be done without."""
    rows = two_years()
    del rows[missing]
    assert np.isnan(of(compute(*rows), "op_margin_ttm", 2)).all()


def test_a_missing_second_quarter_hides_the_third():
    """Cumulative from the year's start, the third quarter alone is unknown; TTM is not."""
    rows = [row for row in Company().rows() if row["CurPerType"] != "2Q"]
    values = compute(*rows, axis=axis_of(columns=600))
    column = 6 * STEP  # 3Q of the second year
    assert of(values, "quarter", column) == [3.0]
    assert np.isnan(of(values, "sales_q_yoy", column)).all()
    assert np.isfinite(of(values, "op_margin_ttm", column)).all()


def test_a_correction_of_the_year_before_moves_the_four_quarters():
    """From its own disclosure on; the quarter that is the latest stays the latest."""
    values = compute(*two_years(), filing(20, "2022-03", "FY", Sales=350.0, OP=45.0, NP=20.0))
    assert of(values, "op_margin_ttm", 19, 20) == [50.0 / 500.0, 50.0 / 400.0]


def test_after_a_change_of_the_fiscal_year_end_there_is_no_year_before():
    """A year that ends in December is compared with no year that ended in March."""
    values = compute(
        *two_years(),
        filing(20, "2023-12", "1Q", Sales=150.0, OP=15.0, NP=6.0, TA=10.0),
        filing(90, "2023-12", "FY", Sales=300.0, OP=60.0, NP=6.0, TA=10.0),
        filing(150, "2024-12", "1Q", Sales=120.0, OP=30.0, NP=6.0, TA=10.0),
    )
    for name in ("op_margin_ttm", "sales_q_yoy", "sales_yoy_ttm", "asset_growth_yoy"):
        assert np.isnan(of(values, name, 20)).all(), name
    assert of(values, "op_margin_ttm", 90) == [0.2]  # as the short year was stated
    assert of(values, "op_margin_ttm", 150) == [(60.0 + 30.0 - 15.0) / (300.0 + 120.0 - 150.0)]


def test_a_company_without_subsidiaries():
    """Its figures stand in the fields of the company alone; cash flows have only one."""
    rows = [
        filing(0, "2022-03", "FY", kind="NonConsolidated_JP", NCSales=100.0, NCOP=8.0, NCTA=50.0),
        filing(
            9, "2023-03", "FY", kind="NonConsolidated_JP",
            NCSales=200.0, NCOP=10.0, NCNP=4.0, NCTA=100.0, NCEq=40.0, CFO=5.0,
        ),
    ]  # fmt: skip
    values = compute(*rows)
    assert of(values, "op_margin_ttm", 0, 9) == [0.08, 0.05]
    assert of(values, "equity_ratio", 9) == [0.4]
    assert of(values, "cfo_to_assets", 9) == [0.05]
    assert of(values, "is_consolidated", 9) == [0.0]


@pytest.mark.parametrize("sales", [-300.0, -350.0, None])
def test_margins_need_sales(sales: float | None):
    """Four quarters of 0 or less, or unknown ones, are no denominator."""
    rows = [
        filing(0, "2022-03", "1Q", Sales=50.0, OP=1.0),
        filing(1, "2022-03", "FY", Sales=350.0, OP=2.0),
        filing(2, "2023-03", "1Q", Sales=sales, OP=3.0),
    ]
    values = compute(*rows)
    assert np.isnan(of(values, "op_margin_ttm", 2)).all()


def test_balances_of_zero_or_less_are_no_denominator():
    """Mean equity, total assets and earlier total assets; elsewhere only 0 is refused."""
    rows = [
        filing(0, "2022-03", "FY", NP=1.0, Sales=9.0, Eq=-30.0, TA=-5.0),
        filing(9, "2023-03", "FY", NP=2.0, Sales=9.0, Eq=30.0, TA=3.0, CFO=6.0),
        filing(70, "2023-03", "FY", TA=0.0),
        filing(80, "2023-03", "FY", TA=-3.0),
    ]
    values = compute(*rows)
    for name in ("roe_ttm", "roa_ttm", "asset_growth_yoy"):
        assert np.isnan(of(values, name, 9)).all(), name
    assert of(values, "asset_turnover", 9) == [-9.0]
    np.testing.assert_equal(of(values, "equity_ratio", 9, 70, 80), [10.0, NAN, NAN])
    np.testing.assert_equal(of(values, "cfo_to_assets", 9, 70, 80), [2.0, NAN, -2.0])


def test_cash_flows_come_from_the_last_period_that_has_them():
    """In the third quarter that is the second; its own assets are the denominator."""
    rows = [
        filing(0, "2022-03", "FY", CFO=30.0, CFI=-10.0, CashEq=9.0, TA=100.0, NP=12.0),
        filing(9, "2023-03", "1Q", TA=500.0, NP=1.0),
    ]
    values = compute(*rows)
    assert of(values, "cfo_to_assets", 0, 9) == [0.3, 0.3]
    assert of(values, "accruals", 9) == [-0.18]
    assert of(values, "fcf_to_assets", 9) == [0.2]
    assert of(values, "cash_ratio", 9) == [0.09]


def test_the_free_cash_flow_waits_for_both_of_its_parts():
    """The latest period that reports both, with its own assets, not the latest with one."""
    values = compute(
        filing(0, "2022-03", "FY", CFO=30.0, CFI=-10.0, TA=100.0),
        filing(9, "2023-03", "FY", CFO=80.0, TA=200.0),
    )
    assert of(values, "cfo_to_assets", 9) == [0.4]
    assert of(values, "fcf_to_assets", 9) == [0.2]


def quarters_of_profit(*profits: float) -> list[Row]:
    """Statements with these single-quarter profits, one every STEP columns."""
    return [
        filing(
            i * STEP, f"{2020 + i // 4}-03", PERIODS[i % 4], NP=float(sum(profits[i - i % 4 : i + 1]))
        )
        for i in range(len(profits))
    ]  # fmt: skip


def test_a_surprise_needs_six_earlier_changes_and_some_deviation():
    """Null with five; null when all changes are the same."""
    rng = np.random.default_rng(3)
    profits = np.round(rng.normal(50.0, 20.0, 11)).tolist()
    values = compute(*quarters_of_profit(*profits), axis=axis_of(columns=700))
    changes = [profits[i] - profits[i - 4] for i in range(4, 11)]
    seen = of(values, "sue_np", 9 * STEP, 10 * STEP)
    np.testing.assert_allclose(seen, [NAN, changes[-1] / np.std(changes[:-1], ddof=1)])
    steady = quarters_of_profit(*(100.0 + 7.0 * (i // 4) for i in range(13)))
    steady_values = compute(*steady, axis=axis_of(columns=800))
    assert np.isnan(of(steady_values, "sue_np", 12 * STEP)).all()


def random_rows(seed: int) -> list[Row]:
    """Statements of three codes with gaps, corrections and missing figures."""
    rng = np.random.default_rng(seed)
    fields = ("Sales", "OP", "NP", "TA", "Eq", "CFO", "CFI", "CashEq", "NCSales", "NCNP", "NCTA")
    rows = []
    for code in ("10010", "10020", "10030"):
        for i in range(20):
            for _ in range(1 + (rng.random() < 0.3)):
                if rng.random() < 0.1:
                    continue
                figures = {f: float(rng.integers(-20, 90)) for f in fields if rng.random() < 0.9}
                column = -600 + i * 45 + int(rng.integers(0, 90))
                number = f"{len(rows):014d}"
                rows.append(
                    filing(
                        column,
                        f"{2020 + i // 4}-03",
                        PERIODS[i % 4],
                        code=code,
                        number=number,
                        **figures,
                    )  # fmt: skip
                )
    return rows


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 299))
def test_what_is_published_later_changes_nothing(seed: int, cut: int):
    """Every feature, bit for bit, on all columns up to the cut."""
    rows = random_rows(seed)
    last = filing(cut, "2020-03", "FY")["DiscDate"]
    axis = axis_of(("10010", "10020", "10030"))
    whole = compute(*rows, axis=axis)
    seen = compute(*(row for row in rows if row["DiscDate"] <= last), axis=axis)
    for name, values in whole.items():
        np.testing.assert_array_equal(seen[name][:, : cut + 1], values[:, : cut + 1], err_msg=name)


def test_where_the_panel_begins_and_ends_changes_nothing():
    """Bit for bit: fewer columns, fewer wanted ones, other codes."""
    rows = random_rows(1)
    whole = compute(*rows, axis=axis_of(("10010", "10020", "10030")))
    part = compute(*rows, axis=axis_of(("10020",), columns=150, first=70, n_out=40))
    assert all(np.isfinite(x).any() for x in whole.values())
    for name, values in part.items():
        np.testing.assert_array_equal(values[0], whole[name][1, 180:220], err_msg=name)
