"""The same market from the same spec, whatever is asked first and wherever it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from pipeline.simulator import Market, MarketSpec
from tests.simulator.conftest import SPEC

SOURCES = ["listed", "daily_bars", "topix", "index_options"]
DAY = date(2021, 3, 31)


def _raw(columns):
    """Without what is restated as of the end of the market."""
    return {name: v for name, v in columns.items() if "Adj" not in name or name == "AdjFactor"}


def assert_same(left, right):
    assert list(left) == list(right)
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_spec_gives_the_same_rows_in_any_order_of_calls(market, source):
    """A fresh market asked for one date only agrees with one that has made everything."""
    assert_same(Market(SPEC).rows(source, DAY), market.rows(source, DAY))


@pytest.mark.parametrize(
    "end", [date(2021, 4, 1), date(2021, 5, 20), date(2021, 9, 30), date(2024, 1, 10)]
)
@pytest.mark.parametrize("source", SOURCES)
def test_another_end_leaves_the_past_alone(market, source, end):
    """Raw rows up to a date do not depend on how far the market runs, across the 2022 reform."""
    other = Market(replace(SPEC, end=end))
    first = date(2020, 12, 1)
    assert_same(_raw(other.rows(source, first, DAY)), _raw(market.rows(source, first, DAY)))


def test_another_seed_is_another_market(market):
    """Prices differ under another seed."""
    other = Market(replace(SPEC, seed=12))
    assert (other.rows("topix", DAY)["C"] != market.rows("topix", DAY)["C"]).all()


def test_the_market_is_the_same_whether_it_is_made_at_once_or_step_by_step():
    """Making everything in advance changes nothing."""
    spec = MarketSpec(2, 8, date(2023, 1, 4), date(2023, 3, 31))
    eager, lazy = Market(spec), Market(spec)
    eager.warm_up()
    for source in SOURCES:
        day = date(2023, 2, 15)
        assert_same(eager.rows(source, day), lazy.rows(source, day))
