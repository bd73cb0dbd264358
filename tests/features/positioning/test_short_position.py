"""Family short_position by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.features.positioning import short_position
from pipeline.market.positioning.short_reports import DEPTH
from tests.features.event_books import market_with, of_code
from tests.market.hand import NAN, Stock, date_of

N = 60
STOCK = Stock("10010", [10.0] * N)


def report(disclosed: int, ratio: float, name: str = "A") -> dict[str, object]:
    return {
        "DiscDate": date_of(disclosed),
        "CalcDate": date_of(disclosed - 1),
        "Code": "10010",
        "SSName": name,
        "DICName": "",
        "FundName": "",
        "ShrtPosToSO": ratio,
    }


def computed(*rows: dict[str, object], stock: Stock = STOCK, n_out: int | None = None):
    n_out = n_out or len(stock.closes)
    market = market_with(stock, n_out=n_out, short_reports=list(rows))
    return {name: of_code(market, x) for name, x in short_position.compute(market).items()}


def test_open_positions_by_hand():
    """A opens on 30, B on 33, A grows on 36, B closes on 38."""
    seen = computed(
        report(30, 0.006), report(33, 0.01, "B"), report(36, 0.015), report(38, 0.004, "B")
    )
    assert set(seen) == {f.name for f in short_position.FEATURES}
    around = {
        "ssp_ratio_sum": [0.0, 0.006, 0.016, 0.025, 0.015],
        "ssp_reporters": [0, 1, 2, 2, 1],
        "ssp_top_ratio": [0.0, 0.006, 0.01, 0.015, 0.015],
        "ssp_hhi": [NAN, 1.0, (0.006**2 + 0.01**2) / 0.016**2, 0.325 / 0.625, 1.0],
        "ssp_delta_5d": [0.0, 0.006, 0.016, 0.019, -0.001],
        "ssp_net_entries_20d": [0, 1, 2, 2, 1],
        "ssp_days_since_report": [NAN, 0, 0, 0, 0],
    }
    for name, expected in around.items():
        np.testing.assert_allclose(
            seen[name][[29, 30, 33, 36, 38]], expected, rtol=1e-12, atol=1e-15, err_msg=name
        )
    np.testing.assert_allclose(seen["ssp_delta_20d"][[49, 50, 53, 58]],
                               [0.015, 0.009, -0.001, 0.0], atol=1e-15)  # fmt: skip
    np.testing.assert_array_equal(seen["ssp_net_entries_20d"][[49, 50, 53, 58]], [1, 0, -1, 0])
    np.testing.assert_array_equal(seen["ssp_days_since_report"][[32, 41]], [2, 3])


def test_a_silent_reporter_is_dropped_after_250_columns():
    """Position and days since the report end together; the count falls by one a month later."""
    stock = Stock("10010", [10.0] * (DEPTH + 60))
    seen = computed(report(30, 0.006), stock=stock)
    last = 30 + DEPTH
    np.testing.assert_array_equal(seen["ssp_ratio_sum"][[last, last + 1]], [0.006, 0.0])
    np.testing.assert_array_equal(seen["ssp_days_since_report"][[last, last + 1]], [DEPTH, NAN])
    np.testing.assert_array_equal(seen["ssp_hhi"][[last, last + 1]], [1.0, NAN])
    np.testing.assert_array_equal(seen["ssp_net_entries_20d"][[last, last + 1]], [0, -1])


def test_a_report_that_closes_a_position_is_a_report():
    """Days are counted from it, and nothing is open."""
    seen = computed(report(30, 0.006), report(40, 0.003))
    assert seen["ssp_days_since_report"][42] == 2
    assert seen["ssp_ratio_sum"][42] == 0.0


def test_changes_need_a_listing_at_their_start():
    """Listed from column 30, and away on column 45: null 5 and 20 columns later."""
    stock = Stock("10010", [10.0] * N, unlisted=[*range(30), 45])
    seen = computed(report(31, 0.006), stock=stock)
    for name, days in (("ssp_delta_5d", 5), ("ssp_delta_20d", 20), ("ssp_net_entries_20d", 20)):
        null = np.isnan(seen[name])
        start = np.arange(N) - days
        np.testing.assert_array_equal(null, (start < 30) | (start == 45), err_msg=name)
    assert seen["ssp_delta_5d"][35] == 0.006


reports = st.builds(
    report,
    disclosed=st.integers(2, N - 1),
    ratio=st.sampled_from([0.001, 0.0049, 0.005, 0.0071, 0.013, 0.0237]),
    name=st.sampled_from(["A", "B", "C", "D"]),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(reports, max_size=12), st.randoms())
def test_bits_do_not_depend_on_the_wanted_columns_or_the_order_of_rows(rows, random):
    """Shuffled rows, another width, and reports of a reporter who has nothing open by now."""
    whole = computed(*rows)
    shuffled = [*rows, report(1, 0.001, "0"), report(1, 0.001, "Z")]
    random.shuffle(shuffled)
    part = computed(*shuffled, n_out=9)
    for name, values in part.items():
        if name != "ssp_days_since_report":
            np.testing.assert_array_equal(values, whole[name][-9:], err_msg=name)


@settings(max_examples=15, deadline=None)
@given(st.lists(reports, max_size=12))
def test_sizes_agree_with_each_other(rows):
    """The largest is at most the sum; concentration lies between 1/n and 1."""
    seen = computed(*rows)
    total, n, top, hhi = (
        seen[f"ssp_{name}"] for name in ("ratio_sum", "reporters", "top_ratio", "hhi")
    )
    assert (top <= total + 1e-15).all()
    assert (np.isnan(hhi) == (n == 0)).all()
    some = n > 0
    assert (hhi[some] <= 1.0 + 1e-12).all()
    assert (hhi[some] >= 1.0 / n[some] - 1e-12).all()


def test_without_reports_nothing_is_open():
    """Sums and counts are 0, concentration and days since a report are null."""
    seen = computed()
    assert (seen["ssp_ratio_sum"] == 0.0).all()
    assert (seen["ssp_reporters"] == 0.0).all()
    assert np.isnan(seen["ssp_hhi"]).all()
    assert np.isnan(seen["ssp_days_since_report"]).all()
