"""What is kept of a chunk: counts by session and market, null rates and quartiles by month."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from pipeline.report import chunk_profile
from pipeline.report.chunk_profile import (
    DRIFT,
    MARKET,
    TIER,
    base_columns,
    month_of,
    null_rates,
    partly_null,
    sessions_of,
    shift,
)
from tests.report.synthetic import facts

FIRST, SECOND, THIRD = (dt.date(2024, 3, day) for day in (1, 4, 5))


def rows(*lines: tuple[dt.date, int | None, float | None]) -> pa.Table:
    """Rows with a date, a tier and a value that is the same on each date."""
    dates, tiers, values = zip(*lines, strict=True)
    market = {name: pa.array(values, pa.float32()) for name in MARKET}
    return pa.table(
        {"Date": pa.array(dates, pa.date32()), TIER: pa.array(tiers, pa.int8()), **market}
    )


def test_rows_count_by_market_and_session() -> None:
    """Rows without a tier are kept apart; values of the market come from the session's first row;
    a session with members and no row is there too."""
    table = rows((FIRST, 1, 0.5), (FIRST, 1, 0.5), (FIRST, 3, 0.5), (SECOND, None, None))
    members = {str(FIRST): {1: 2, 3: 1}, str(SECOND): {2: 1}, str(THIRD): {1: 4}}
    found = sessions_of(table, members)
    assert list(found) == [str(day) for day in (FIRST, SECOND, THIRD)]
    first, second, third = found.values()
    assert (first.rows, first.members, first.market) == ((2, 0, 1, 0), (2, 0, 1), (0.5, 0.5))
    assert (second.rows, second.expected, second.market) == ((0, 0, 0, 1), 1, (None, None))
    assert (third.total, third.expected) == (0, 4)


def test_without_members_nothing_is_expected() -> None:
    """Not nought: unknown."""
    (one,) = sessions_of(rows((FIRST, 2, 0.1)), None).values()
    assert one.expected is None


def test_only_columns_with_some_nulls_have_to_be_read() -> None:
    """Those full or empty over the chunk are so in every month."""
    names = [name for columns in base_columns().values() for name in columns]
    rates = dict.fromkeys(names, 0.0) | {names[3]: 1.0, names[5]: 0.25, names[5] + "_cs_rank": 0.5}
    assert partly_null(rates) == [names[5]]


def test_null_rates_of_a_month() -> None:
    """The mean over the columns of a family, counted where counted and taken over where not."""
    family, names = next(iter(base_columns().items()))
    rates = {name: 0.0 for columns in base_columns().values() for name in columns}
    rates |= {names[0]: 1.0, names[1]: 0.3}
    values = pa.table({name: pa.array([None, 1.0, 2.0, 3.0, 4.0], pa.float32()) for name in DRIFT})
    month = month_of(5, rates, {names[1]: 2}, values)
    assert month.nulls[family] == pytest.approx((1.0 + 2 / 5) / len(names), abs=1e-6)
    assert {rate for other, rate in month.nulls.items() if other != family} == {0.0}
    assert month.spread[DRIFT[0]] == (1.75, 2.5, 3.25)


def test_a_feature_without_values_has_no_quartiles() -> None:
    """It is left out, and its chart with it."""
    nothing = pa.table({name: pa.nulls(2, pa.float32()) for name in DRIFT})
    assert month_of(2, {}, {}, nothing).spread == {}


def test_a_month_in_two_chunks_counts_by_rows() -> None:
    """The rate is that of all rows of the month."""
    one, two = facts(2).profiles
    month = next(iter(one.months))
    family = next(iter(base_columns()))
    halves = [
        chunk_profile.Profile({}, {month: chunk_profile.Month(count, {family: rate}, {})})
        for count, rate in ((100, 0.5), (300, 0.1))
    ]
    assert null_rates(halves)[month][family] == pytest.approx(0.2)
    assert set(null_rates([one, two])) == {*one.months, *two.months}


def test_a_shift_is_measured_in_quartile_ranges() -> None:
    """Against the months before; nothing can be said of one month, or without a range."""
    before = [(-1.0, 0.0, 1.0), (-1.0, 0.2, 1.0), (-1.0, 0.1, 1.0)]
    assert shift([*before, (0.0, 2.1, 4.0)]) == pytest.approx(1.0)
    assert shift(before[:1]) is None
    assert shift([(1.0, 1.0, 1.0), (1.0, 2.0, 3.0)]) is None


def test_a_profile_survives_its_document() -> None:
    """What the next report reads is what this one measured."""
    (one,) = facts(1).profiles
    assert chunk_profile.from_json(json.loads(json.dumps(chunk_profile.to_json(one)))) == one


def test_values_are_small_and_plain() -> None:
    """Plain numbers, short: the document is read by other programs too."""
    values = pa.table({name: pa.array(np.linspace(0, 1, 7) / 3, pa.float32()) for name in DRIFT})
    found = month_of(7, {}, {}, values).spread[DRIFT[0]]
    assert all(type(value) is float and len(repr(value)) <= 9 for value in found)
