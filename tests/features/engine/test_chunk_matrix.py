"""From arrays to the columns of a chunk: which value stands in which row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pytest

from pipeline.features.derivatives import option
from pipeline.features.engine import catalogue, chunk_matrix
from pipeline.features.engine.column_spec import FloatArray
from pipeline.features.engine.transforms import HISTORY
from pipeline.features.price import candle, price_return
from pipeline.market.panel.market_data import Market
from tests.market.hand import NAN, Stock, date_of, market

COLUMNS = 60
DAYS = 10
BEGIN = COLUMNS - DAYS  # column of the first day
FLAT = [100.0] * COLUMNS


def plain_stocks(n: int, **fields: object) -> list[Stock]:
    return [Stock(f"{1301 + i}0", FLAT, **fields) for i in range(n)]


def chunk_market(*stocks: Stock) -> Market:
    return market(*stocks, n_out=DAYS + HISTORY)


def base_of(market: Market, **overrides: FloatArray) -> Mapping[str, FloatArray]:
    """A base value of every column, 0 but for the overrides; null outside the universe."""
    universe = market.master.universe[:, -(DAYS + HISTORY) :]
    base: dict[str, FloatArray] = {}
    for feature in catalogue.features():
        one_per_date = feature.family in {"option", "calendar"}
        values = overrides.get(feature.name, np.zeros(DAYS + HISTORY))
        if one_per_date:
            base[feature.name] = values
        else:
            base[feature.name] = np.where(universe, values, NAN)
    return base


def rows_of(market: Market, base: Mapping[str, FloatArray], first: int = 0, stop: int = DAYS):
    return chunk_matrix.rows(chunk_matrix.members(market, DAYS), base, first, stop)


def test_rows_are_the_members_of_each_day_in_order():
    """Sorted by date, then code; a code listed, delisted or moving in has rows while a member."""
    seen = chunk_market(
        Stock("99990", FLAT),
        Stock("130A0", FLAT, unlisted=range(BEGIN + 2)),
        Stock("13010", FLAT, unlisted=range(BEGIN + 4, COLUMNS)),
        Stock("20000", FLAT, record={"Mkt": "0105"}, later={BEGIN + 8: {"Mkt": "0113"}}),
        Stock("13015", FLAT),
        Stock("50000", FLAT, record={"S33": "9999"}),
    )
    keys = rows_of(seen, base_of(seen)).select(["Date", "Code"]).to_pylist()
    expected = [
        {"Date": date_of(BEGIN + day), "Code": code}
        for day in range(DAYS)
        for code, present in (
            ("13010", day < 4),
            ("130A0", day >= 2),
            ("20000", day >= 8),
            ("99990", True),
        )
        if present
    ]
    assert keys == expected


def test_columns_are_those_of_the_schema():
    """Names, order, types and roles; integers and flags are nullable and never NaN."""
    seen = chunk_market(*plain_stocks(3))
    table = rows_of(seen, base_of(seen))
    assert table.schema.equals(catalogue.column_schema(), check_metadata=True)
    table.validate(full=True)


def test_a_value_stands_in_its_own_row():
    """Base values as float32; NaN as null; integers whole."""
    seen = chunk_market(*plain_stocks(2))
    values = np.arange(2.0 * (DAYS + HISTORY)).reshape(2, -1) / 3
    values[1, HISTORY] = NAN
    ages = np.full((2, DAYS + HISTORY), 400.0)
    ages[0, -1] = NAN
    table = rows_of(seen, base_of(seen, ret_prev_1d=values, listing_age_td=ages))
    expected = values[:, HISTORY:].T.ravel().astype(np.float32)
    np.testing.assert_array_equal(table["ret_prev_1d"].to_numpy(), expected)
    assert table["ret_prev_1d"].null_count == 1
    assert table["listing_age_td"].to_pylist() == [400] * (2 * DAYS - 2) + [None, 400]


def test_a_market_wide_value_repeats_over_the_rows_of_its_day():
    """Its transforms run over dates, whoever is listed."""
    late = Stock("13020", FLAT, unlisted=range(BEGIN + 5))
    seen = chunk_market(Stock("13010", FLAT), late)
    series = np.arange(DAYS + HISTORY) ** 2.0
    table = rows_of(seen, base_of(seen, opt_iv_atm_30d=series, day_of_week=series % 5))
    day_of_row = [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    assert table["opt_iv_atm_30d"].to_pylist() == [series[HISTORY + d] for d in day_of_row]
    assert table["day_of_week"].to_pylist() == [int(series[HISTORY + d] % 5) for d in day_of_row]
    means = [np.float32(series[d : d + HISTORY].mean()) for d in day_of_row]
    assert table["opt_iv_atm_30d_roll_mean_20d"].to_pylist() == means
    assert "opt_iv_atm_30d_cs_rank" not in table.column_names


def test_a_code_has_no_history_from_before_it_was_a_member():
    """Values of its PRO market days are not stored, so the window counts them as null."""
    mover = Stock("13020", FLAT, record={"Mkt": "0105"}, later={BEGIN - 9: {"Mkt": "0113"}})
    seen = chunk_market(Stock("13010", FLAT), mover)
    values = np.ones((2, DAYS + HISTORY))
    table = rows_of(seen, base_of(seen, ret_prev_1d=values))
    means = table["ret_prev_1d_roll_mean_20d"].to_pylist()
    assert means[0::2] == [1.0] * DAYS
    assert means[1::2] == [None] + [1.0] * (DAYS - 1)  # nine days in front of the first


def test_a_sector_is_that_of_the_day():
    """Five members make a sector; the sixth changes into another one on day 3."""
    stocks = [*plain_stocks(5), Stock("50000", FLAT, later={BEGIN + 3: {"S33": "9050"}})]
    seen = chunk_market(*stocks)
    values = np.repeat(np.arange(6.0)[:, np.newaxis], DAYS + HISTORY, axis=1)
    table = rows_of(seen, base_of(seen, ret_prev_1d=values))
    means = np.array(table["ret_prev_1d_sector_mean"].to_pylist()).reshape(DAYS, 6)
    assert set(means[:3].ravel()) == {2.5}
    assert set(means[3:, :5].ravel()) == {2.0}
    assert set(means[3:, 5]) == {None}


def test_ranks_run_over_the_members_of_the_day():
    """20 members have ranks; on the day one of them has no value, nobody has."""
    seen = chunk_market(*plain_stocks(20))
    values = np.repeat(np.arange(20.0)[:, np.newaxis], DAYS + HISTORY, axis=1)
    values[7, HISTORY + 4] = NAN
    table = rows_of(seen, base_of(seen, ret_prev_1d=values))
    ranks = np.array(table["ret_prev_1d_cs_rank"].to_pylist()).reshape(DAYS, 20)
    assert set(ranks[4]) == {None}
    assert np.delete(ranks, 4, axis=0).tolist() == [list(range(1, 21))] * (DAYS - 1)


def test_some_days_at_a_time_are_the_rows_of_all_days():
    """Cut anywhere, one or two threads."""
    rng = np.random.default_rng(0)
    late = Stock("99990", FLAT, unlisted=range(BEGIN + 6))
    seen = chunk_market(*plain_stocks(22), late)
    base = base_of(seen, ret_prev_1d=rng.normal(size=(23, DAYS + HISTORY)))
    whole = rows_of(seen, base)
    parts = [
        chunk_matrix.rows(chunk_matrix.members(seen, DAYS), base, first, stop, threads=2)
        for first, stop in ((0, 1), (1, 7), (7, 10))
    ]
    assert pa.concat_tables(parts).equals(whole)


def test_a_day_without_members_has_no_rows():
    """An empty part still has every column."""
    seen = chunk_market(Stock("13010", FLAT, unlisted=range(BEGIN + 3, BEGIN + 6)))
    empty = rows_of(seen, base_of(seen), 3, 6)
    assert empty.num_rows == 0
    assert empty.schema == catalogue.column_schema()


# -- base values ---------------------------------------------------------------------------------


def test_base_values_take_each_row_from_the_line_of_its_basis():
    """After a split the price to its mean, a ratio, is what it was; days before it as well."""
    split = Stock("13010", [100.0] * 55 + [50.0] * 5, factors={55: 0.5})
    seen = chunk_market(split, Stock("13020", FLAT))
    base = chunk_matrix.base_values(seen, DAYS)
    assert base["ret_prev_1d"].shape == (2, HISTORY + DAYS)
    np.testing.assert_array_equal(base["ret_prev_1d"], np.zeros((2, HISTORY + DAYS)))
    np.testing.assert_array_equal(base["price_to_sma_20"], np.zeros((2, HISTORY + DAYS)))
    assert base["days_since_split"][0, -5:].tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(base["days_since_split"][0, :-5]).all()


def test_base_values_are_null_outside_the_universe():
    """Also for a code whose bars are there: PRO market until the fourth day."""
    mover = Stock("13020", FLAT, record={"Mkt": "0105"}, later={BEGIN + 3: {"Mkt": "0113"}})
    base = chunk_matrix.base_values(chunk_market(Stock("13010", FLAT), mover), DAYS)
    is_null = np.isnan(base["ret_prev_1d"])
    assert not is_null[0].any()
    assert is_null[1].tolist() == [True] * (HISTORY + 3) + [False] * 7


def test_columns_before_the_data_begin_are_null():
    """Less history than the transforms look at: the front is filled with nulls."""
    closes = [100.0 + i for i in range(15)]
    seen = market(Stock("13010", closes), n_out=15)
    base = chunk_matrix.base_values(seen, DAYS)
    for values in base.values():
        assert values.shape[-1] == HISTORY + DAYS
        assert np.isnan(values[..., : HISTORY - 5]).all()
    assert base["day_of_week"].ndim == 1
    returns = 1.0 / np.array(closes[:-1])
    np.testing.assert_allclose(base["ret_prev_1d"][0, HISTORY - 4 :], returns, rtol=1e-12)
    table = chunk_matrix.rows(chunk_matrix.members(seen, DAYS), base, 0, DAYS)
    means = table["ret_prev_1d_roll_mean_20d"]
    assert means.is_null().to_pylist() == [True] * 6 + [False] * 4


def computing(result: Callable[[Market], Mapping[str, FloatArray]], monkeypatch, family) -> Market:
    monkeypatch.setattr(family, "compute", result)
    return chunk_market(*plain_stocks(2))


@pytest.mark.parametrize("family", [candle, option])
def test_a_family_returns_what_it_declares(monkeypatch: pytest.MonkeyPatch, family: object):
    """One column more or less is an error of the code, named with both lists."""
    honest = family.compute
    seen = computing(lambda m: {**honest(m), "surprise": np.zeros(1)}, monkeypatch, family)
    with pytest.raises(AssertionError, match="surprise"):
        chunk_matrix.base_values(seen, DAYS)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_family_raises_is_raised(monkeypatch: pytest.MonkeyPatch, threads: int):
    """From any thread."""

    def broken(_: Market) -> Mapping[str, FloatArray]:
        raise ZeroDivisionError("broken family")

    seen = computing(broken, monkeypatch, price_return)
    with pytest.raises(ZeroDivisionError, match="broken family"):
        chunk_matrix.base_values(seen, DAYS, threads)
