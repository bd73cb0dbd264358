"""Futures quotes along the columns, and the front contract."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pytest

from pipeline.market.derivatives.futures_quotes import Contracts, futures_quotes
from pipeline.market.panel.axis import NOWHERE
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source

MARCH, JUNE, SEPTEMBER = "2023-03", "2023-06", "2023-09"
SQ_DAY = {MARCH: 20, JUNE: 30, SEPTEMBER: 40}  # columns, unless a row says otherwise


def quote(column, month, **fields):
    """A TOPIX contract with 100 contracts of open interest, settled at 2000."""
    return {
        "ProdCat": "TOPIXF",
        "Date": date_of(column),
        "CM": month,
        "CCMFlag": "0",
        "EmMrgnTrgDiv": "002",
        "H": 2010.0,
        "L": 1990.0,
        "EC": 2005.0,
        "Settle": 2000.0,
        "OI": 100.0,
        "LTD": date_of(SQ_DAY[month] - 1),
        "SQD": date_of(SQ_DAY[month]),
        **fields,
    }


def topix(*rows, n_columns=3) -> Contracts:
    return futures_quotes(source("futures", *rows), axis(n_columns, 1)).topix


def front_month(*rows):
    """Contract month that is front on column 0; None where none is."""
    months = sorted({row["CM"] for row in rows})
    front = int(topix(*rows, n_columns=1).front[0])
    return None if front == NOWHERE else months[front]


def test_the_central_contract_month_is_front():
    """Even with the smaller open interest, and though another is nearer."""
    assert front_month(quote(0, MARCH, OI=900.0), quote(0, JUNE, CCMFlag="1", OI=1.0)) == JUNE


def test_without_a_flag_the_largest_open_interest_is_front():
    """A null open interest is no interest."""
    rows = quote(0, MARCH, OI=5.0), quote(0, JUNE, OI=7.0), quote(0, SEPTEMBER, OI=None)
    assert front_month(*rows) == JUNE


@pytest.mark.parametrize("oi", [100.0, 0.0, None])
def test_of_equal_open_interests_the_nearest_is_front(oi):
    """Equal, all zero or all unknown."""
    assert front_month(quote(0, JUNE, OI=oi), quote(0, MARCH, OI=oi)) == MARCH


def test_the_nearest_is_told_by_the_sq_day():
    """Not by the order of the contract months."""
    rows = quote(0, MARCH, SQD=date_of(9)), quote(0, JUNE, SQD=date_of(8))
    assert front_month(*rows) == JUNE


def test_a_contract_on_its_sq_day_is_not_live():
    """SQD > T; a flag does not help, and an unknown SQ day is not to come."""
    assert front_month(quote(0, MARCH, SQD=date_of(0), CCMFlag="1"), quote(0, JUNE)) == JUNE
    assert front_month(quote(0, MARCH, SQD=date_of(0))) is None
    assert front_month(quote(0, MARCH, SQD=None, CCMFlag="1")) is None


def test_a_front_needs_a_record_of_the_day():
    """Column 1 has none; column 2 has another contract."""
    contracts = topix(quote(0, MARCH), quote(2, JUNE))
    np.testing.assert_array_equal(contracts.front, [0, NOWHERE, 1])
    np.testing.assert_array_equal(contracts.at(contracts.front, contracts.oi), [100.0, NAN, 100.0])


def test_the_column_before_is_of_the_same_contract():
    """June was not quoted on column 0, so what was front then does not stand in."""
    rows = [quote(0, MARCH, Settle=1.0), quote(1, MARCH, Settle=2.0), quote(1, JUNE, Settle=3.0)]
    rows += [quote(2, JUNE, Settle=4.0, CCMFlag="1"), quote(2, MARCH, Settle=5.0)]
    contracts = topix(*rows)
    np.testing.assert_array_equal(contracts.front, [0, 0, 1])
    np.testing.assert_array_equal(
        contracts.before(contracts.front, contracts.settle), [NAN, 1.0, 3.0]
    )


def test_the_following_contract_is_held_by_somebody():
    """The nearest after the front with open interest; contracts before the front do not count."""
    rows = [quote(0, JUNE, OI=0.0), quote(0, SEPTEMBER, OI=1.0), quote(0, MARCH, OI=2.0)]
    assert topix(*rows, n_columns=1).following.tolist() == [2]
    rows = [quote(0, MARCH, OI=1.0), quote(0, JUNE, OI=2.0), quote(0, SEPTEMBER, OI=None)]
    assert topix(*rows, n_columns=1).following.tolist() == [NOWHERE]


def test_zero_prices_are_null():
    """0.0 means that nothing was traded or struck; open interest of 0 is a number."""
    contracts = topix(quote(0, MARCH, H=0.0, L=0.0, EC=0.0, Settle=0.0, OI=0.0), n_columns=1)
    for values in (contracts.high, contracts.low, contracts.night_close, contracts.settle):
        assert np.isnan(values[0, 0])
    assert contracts.oi[0, 0] == 0.0


def test_only_settlement_records_on_columns_count():
    """Emergency repeats, other products, closed days and nameless contracts are left out."""
    rows = [
        quote(1, MARCH, EmMrgnTrgDiv="001", Settle=7.0),
        quote(1, MARCH),
        quote(1, JUNE, ProdCat="TOPIXMF"),
        quote(2, MARCH, Date=dt.date(2023, 1, 7)),
        quote(2, MARCH, CM=None),
    ]
    contracts = topix(*rows)
    settle = contracts.at(contracts.front, contracts.settle)
    np.testing.assert_array_equal(settle, [NAN, 2000.0, NAN])
    assert np.isfinite(contracts.settle).sum() == 1


def test_each_product_has_its_contracts():
    """Three products of one file."""
    rows = [quote(0, MARCH, ProdCat=p, Settle=s) for p, s in (("NK225F", 3e4), ("JGBLF", 150.0))]
    quotes = futures_quotes(source("futures", *rows), axis(1, 1))
    assert quotes.nikkei.settle[0, 0] == 3e4
    assert quotes.bond.settle[0, 0] == 150.0
    assert quotes.topix.front.tolist() == [NOWHERE]


def test_the_order_of_rows_does_not_matter():
    """Contracts ascend by month."""
    rows = [quote(c, m, Settle=100.0 * c + len(m), OI=c + 1.0) for c in range(3) for m in SQ_DAY]
    expected = topix(*rows)
    for seed in range(3):
        seen = topix(*random.Random(seed).sample(rows, len(rows)))
        np.testing.assert_array_equal(seen.settle, expected.settle)
        np.testing.assert_array_equal(seen.front, expected.front)


def test_an_unavailable_source_has_no_front():
    """Everything is null, nothing fails."""
    contracts = topix()
    assert (contracts.front == NOWHERE).all()
    assert (contracts.following == NOWHERE).all()
    assert np.isnan(contracts.before(contracts.front, contracts.settle)).all()
