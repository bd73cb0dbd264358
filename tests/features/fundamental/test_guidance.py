"""Family guidance."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.features.fundamental import guidance
from tests.features.books import Values, market_of
from tests.market.filings import Row, filing, month_end
from tests.market.hand import Stock

NAN = float("nan")
N = 620
REVISION = "EarnForecastRevision"
MARCH_2024 = month_end(np.datetime64("2024-03"))

#: A year of a company: results with a forecast, quarters, revisions, the next results.
STORY = (
    filing(-170, "2023-03", "1Q", OP=20.0, Sales=240.0),
    filing(10, "2023-03", "FY", Sales=1000.0, OP=100.0, ShOutFY=1000.0, NxtFYEn=MARCH_2024,
           NxFSales=1100.0, NxFOP=121.0, NxFNp=70.0),
    filing(70, "2024-03", "1Q", OP=24.2, ShOutFY=1000.0, FSales=1100.0, FOP=121.0, FNP=70.0),
    filing(100, "2024-03", "FY", DocType=REVISION, FOP=132.0, FNP=77.0, CurPerEn=None),
    filing(130, "2024-03", "2Q", OP=66.0, ShOutFY=1000.0, FSales=1100.0, FOP=132.0, FNP=77.0),
    filing(255, "2024-03", "FY", Sales=1200.0, OP=140.0, ShOutFY=1000.0, NxFOP=150.0),
)  # fmt: skip


def values(*rows: Row, closes: np.ndarray | None = None, n_out: int = N) -> Values:
    """The family for one stock whose close is 100 plus the column."""
    prices = 100.0 + np.arange(N) if closes is None else closes
    stock = Stock("10010", prices.tolist())
    return Values(guidance, market_of(stock, n_out=n_out, summary=rows))


@pytest.fixture(scope="module")
def story() -> Values:
    return values(*STORY)


def close_to(seen: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=1e-15)


def test_forecasts_are_compared_with_the_last_results(story: Values):
    """From the column of the results on; the next results bring the next year."""
    columns = (9, 10, 99, 100, 254, 255)
    close_to(
        story.of("guide_sales_growth", *columns), [NAN, 0.1, 0.1, 0.1, 0.1, NAN]
    )  # no forecast of sales for the new year
    close_to(
        story.of("guide_op_growth_to_sales", *columns),
        [NAN, 0.021, 0.021, 0.032, 0.032, 10 / 1200],
    )
    close_to(story.of("guide_op_margin", *columns), [NAN, 0.11, 0.11, 0.12, 0.12, NAN])


def test_the_last_revision_counts_until_the_year_is_over(story: Values):
    """Profit against the market value of the column before, as it was then."""
    columns = (9, 10, 99, 100, 254)
    close_to(story.of("guide_rev_op_last", *columns), [NAN, 0.0, 0.0, 0.01, 0.01])
    mktcap = 1000.0 * (100.0 + 99.0)
    close_to(story.of("guide_rev_np_last", *columns), [NAN, 0.0, 0.0, 7.0 / mktcap, 7.0 / mktcap])
    assert story.of("guide_rev_op_last", 255) == [0.0]  # never changed, whatever the sales
    assert np.isnan(story.of("guide_rev_np_last", 255)).all()


def test_revisions_are_counted_over_250_columns(story: Values):
    """The change of year is none of them."""
    columns = (9, 10, 100, 255, 349, 350)
    close_to(story.of("guide_rev_net_count_250d", *columns), [NAN, 0.0, 1.0, 1.0, 1.0, 0.0])
    close_to(story.of("days_since_guide_rev", *columns), [NAN, NAN, 0.0, 155.0, 249.0, NAN])


def test_without_a_forecast_of_550_columns_there_is_nothing_to_count():
    """Age 550 is kept."""
    seen = values(filing(10, "2023-03", "FY", NxFOP=5.0, OP=4.0))
    close_to(seen.of("guide_rev_net_count_250d", 560, 561), [0.0, NAN])


def test_progress_is_that_of_the_latest_quarter_of_the_forecast_year(story: Values):
    """Null from the results to the first quarter."""
    columns = (69, 70, 99, 100, 129, 130, 254, 255)
    close_to(
        story.of("guide_progress_op", *columns),
        [NAN, 0.2, 0.2, 24.2 / 132, 24.2 / 132, 0.5, 0.5, NAN],
    )
    close_to(story.of("guide_progress_gap", 69, 70, 100), [NAN, 0.0, 24.2 / 132 - 0.2])
    assert np.isnan(story.of("guide_progress_gap", 130)).all()  # no second quarter a year ago


def test_a_quarter_of_another_year_is_no_progress():
    """As when the results of a year are late and the next one has begun."""
    seen = values(
        filing(5, "2023-03", "FY", OP=100.0, NxFOP=120.0),
        filing(60, "2024-03", "3Q", OP=90.0),
        filing(90, "2025-03", "1Q", OP=30.0, FOP=150.0),
    )
    close_to(seen.of("guide_progress_op", 89, 90), [0.75, NAN])


def test_results_are_compared_with_the_last_forecast_before_them(story: Values):
    """Not with the forecast of the same document, which is about another year."""
    close_to(story.of("guide_surprise_op_fy", 10, 254, 255), [NAN, NAN, 8 / 1200])


def test_a_late_correction_of_the_results_counts_from_its_own_disclosure_on():
    """The forecast stays the last one before the first disclosure of the results."""
    seen = values(
        *STORY,
        filing(257, "2024-03", "FY", DocType=REVISION, FOP=139.0, CurPerEn=None),
        filing(300, "2024-03", "FY", OP=138.0),
    )
    close_to(seen.of("guide_surprise_op_fy", 255, 299, 300), [8 / 1200, 8 / 1200, 6 / 1200])
    close_to(seen.of("guide_op_growth_to_sales", 299, 300), [10 / 1200, 12 / 1200])
    close_to(seen.of("guide_rev_net_count_250d", 256, 257), [1.0, 2.0])  # any year
    assert seen.of("days_since_guide_rev", 257) == [0.0]
    assert seen.of("guide_rev_op_last", 257) == [0.0]  # of another year


def test_forecasts_of_the_next_year_wait_for_the_results():
    """A forecast for the year after fy* is no guidance yet, though its changes are revisions."""
    seen = values(
        filing(5, "2023-03", "FY", OP=100.0, Sales=1000.0, NxFOP=120.0, NxFSales=1000.0),
        filing(20, "2024-03", "3Q", NxFOP=150.0),
        filing(30, "2024-03", "3Q", NxFOP=140.0),
    )
    close_to(seen.of("guide_op_margin", 5, 30), [0.12, 0.12])
    close_to(seen.of("guide_rev_op_last", 30), [0.0])
    close_to(seen.of("guide_rev_net_count_250d", 29, 30), [0.0, -1.0])


def test_a_shorter_year_has_no_place_behind_the_last_one():
    """fy* is a year after the last one: a forecast for nine months is about another year."""
    december = month_end(np.datetime64("2023-12"))
    seen = values(
        filing(5, "2023-03", "FY", OP=100.0, Sales=900.0, NxFOP=80.0, NxtFYEn=december),
        filing(60, "2023-12", "1Q", OP=20.0, FOP=80.0),
    )
    for name in ("guide_op_growth_to_sales", "guide_progress_op", "guide_rev_op_last"):
        assert np.isnan(seen.of(name, 5, 60)).all()
    assert seen.of("guide_rev_net_count_250d", 60) == [0.0]


def test_guidance_is_null_once_it_is_300_columns_old():
    """Each item by itself; results do not age."""
    seen = values(
        filing(10, "2023-03", "FY", OP=90.0, Sales=900.0, NxFOP=120.0, NxFSales=1000.0),
        filing(70, "2024-03", "1Q", FOP=120.0),
    )
    close_to(seen.of("guide_sales_growth", 310, 311), [1000.0 / 900.0 - 1.0, NAN])
    close_to(seen.of("guide_op_growth_to_sales", 311, 370, 371), [30 / 900, 30 / 900, NAN])
    close_to(seen.of("guide_op_margin", 310, 311), [0.12, NAN])
    close_to(seen.of("guide_rev_op_last", 311, 370, 371), [0.0, 0.0, NAN])


def test_the_market_value_of_a_change_is_sought_for_300_columns():
    """A forecast that is repeated stays current; what its change meant then gets too old."""
    rows = [filing(c, "2024-03", "1Q", FNP=7.0, ShOutFY=1000.0) for c in (190, 380, 550)]
    seen = values(
        filing(0, "2023-03", "FY", OP=1.0, ShOutFY=1000.0, NxFNp=6.0),
        filing(100, "2024-03", "1Q", DocType=REVISION, FNP=7.0),
        *rows,
    )
    close_to(seen.of("guide_rev_np_last", 99, 100, 400, 401), [0, 1 / 199e3, 1 / 199e3, NAN])


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"Sales": 0.0}, "guide_sales_growth", NAN),
        ({"Sales": -5.0}, "guide_sales_growth", NAN),
        ({"Sales": 0.0}, "guide_op_growth_to_sales", NAN),
        ({"Sales": -5.0}, "guide_op_growth_to_sales", -4.0),
        ({"NxFSales": 0.0}, "guide_op_margin", NAN),
        ({"NxFSales": -5.0}, "guide_op_margin", NAN),
        ({"NxFSales": None}, "guide_op_margin", NAN),
        ({"NxFOP": -1.0}, "guide_op_margin", -0.05),
        ({"NxFOP": 0.0}, "guide_progress_op", NAN),
        ({"NxFOP": -1.0}, "guide_progress_op", NAN),
        ({}, "guide_progress_op", 0.25),
        ({}, "guide_progress_gap", -0.15),
        ({"OP": 0.0}, "guide_progress_gap", NAN),
        ({"OP": -10.0}, "guide_progress_gap", NAN),
        ({"OP": None}, "guide_progress_gap", NAN),
    ],
)
def test_denominators(fields: Row, name: str, value: float):
    """Those that must be positive, and those of which only 0 is null."""
    results = {"Sales": 10.0, "OP": 10.0, "NxFSales": 20.0, "NxFOP": 30.0}
    seen = values(
        filing(-100, "2023-03", "1Q", OP=4.0),
        filing(5, "2023-03", "FY", **{**results, **fields}),
        filing(60, "2024-03", "1Q", OP=7.5),
    )
    close_to(seen.of(name, 60), [value])


def test_the_company_alone_stands_in_for_the_group():
    """In results and forecasts."""
    kind = "NonConsolidated_JP"
    seen = values(
        filing(5, "2023-03", "FY", kind=kind, NCSales=10.0, NCOP=1.0, NxFNCSales=12.0,
               NxFNCOP=1.5),
        filing(60, "2024-03", "1Q", kind=kind, NCOP=0.3, FNCOP=2.0),
    )  # fmt: skip
    close_to(seen.of("guide_sales_growth", 60), [0.2])
    close_to(seen.of("guide_progress_op", 60), [0.15])
    close_to(seen.of("guide_rev_op_last", 59, 60), [0.0, 0.5 / 12.0])


def test_values_do_not_depend_on_the_width_of_the_answer(story: Values):
    """The same bits when only the last columns are wanted."""
    few = values(*STORY, n_out=400)
    columns = range(N - 400, N)
    for feature in guidance.FEATURES:
        seen, expected = (np.array(v.of(feature.name, *columns)) for v in (few, story))
        assert seen.tobytes() == expected.tobytes()


def test_without_documents_everything_is_null():
    """As when the source is unavailable."""
    seen = values()
    for feature in guidance.FEATURES:
        assert np.isnan(seen.of(feature.name, *range(0, N, 50))).all()
