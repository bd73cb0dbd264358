"""Option quotes along the trading columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.market.derivatives.option_quotes import OptionQuotes, option_quotes

SESSIONS = np.array(["2023-01-04", "2023-01-05", "2023-01-06"], "datetime64[D]")
EXPIRIES = np.array(["2023-01-13", "2023-02-10"], "datetime64[D]")
NUMBERS = ("Strike", "IV", "IR", "Settle", "OI", "Vo", "Va", "UnderPx")
FIELDS = [field.name for field in OptionQuotes.__dataclass_fields__.values()]


def rows(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Distinct contracts of three sessions in a random order."""
    rng = np.random.default_rng(seed)
    grid = pd.MultiIndex.from_product(
        [SESSIONS, EXPIRIES, 25000.0 + 125.0 * np.arange(8), ["1", "2"]],
        names=["Date", "SQD", "Strike", "PCDiv"],
    ).to_frame(index=False)
    frame = grid.sample(n, random_state=seed).reset_index(drop=True)
    for field in ("IV", "IR", "Settle", "OI", "Vo", "Va"):
        frame[field] = rng.uniform(1.0, 100.0, n).round(2)
    frame["UnderPx"] = frame["Date"].map({s: 25000.0 + i for i, s in enumerate(SESSIONS)})
    return frame.assign(EmMrgnTrgDiv="002")


def table(frame: pd.DataFrame) -> pa.Table:
    """The rows with the types of a snapshot."""
    columns = {name: pa.array(frame[name], pa.float64(), from_pandas=True) for name in NUMBERS}
    for name in ("Date", "SQD"):
        columns[name] = pa.array(frame[name].astype("datetime64[s]"), pa.date32())
    for name in ("PCDiv", "EmMrgnTrgDiv"):
        columns[name] = pa.array(frame[name].astype(object), pa.string(), from_pandas=True)
    return pa.table(columns)


def assert_same(seen: OptionQuotes, expected: OptionQuotes) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(seen, name), getattr(expected, name), err_msg=name)


def test_quotes_are_sorted_by_column_expiry_strike_put_before_call():
    """Every row of the file is found at its place, with percents as fractions."""
    frame = rows()
    quotes = option_quotes(table(frame), SESSIONS)
    expected = frame.sort_values(["Date", "SQD", "Strike", "PCDiv"])
    np.testing.assert_array_equal(quotes.strike, expected["Strike"])
    np.testing.assert_array_equal(quotes.is_call, expected["PCDiv"] == "2")
    np.testing.assert_array_equal(quotes.days, (expected["SQD"] - expected["Date"]).dt.days)
    np.testing.assert_array_equal(quotes.iv, expected["IV"] / 100)
    np.testing.assert_array_equal(quotes.rate, expected["IR"] / 100)
    for name, field in (
        ("settle", "Settle"),
        ("oi", "OI"),
        ("volume", "Vo"),
        ("turnover", "Va"),
    ):
        np.testing.assert_array_equal(getattr(quotes, name), expected[field], err_msg=name)


def test_offsets_cut_the_quotes_into_columns():
    """A session without rows is an empty column without an index value."""
    frame = rows()
    frame = frame[frame["Date"] != SESSIONS[1]]
    quotes = option_quotes(table(frame), SESSIONS)
    sizes = [(frame["Date"] == session).sum() for session in SESSIONS]
    assert [quotes.of(i).stop - quotes.of(i).start for i in range(3)] == sizes
    assert quotes.offsets[-1] == quotes.strike.size == len(frame)
    np.testing.assert_array_equal(quotes.underlying, [25000.0, np.nan, 25002.0])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_and_their_encoding_mean_nothing(seed):
    """Shuffled, chunked and dictionary-encoded tables give the same quotes."""
    frame = rows()
    expected = option_quotes(table(frame), SESSIONS)
    assert_same(option_quotes(table(frame.sample(frac=1, random_state=seed)), SESSIONS), expected)
    parts = pa.concat_tables([table(frame[:7]), table(frame[7:])])
    for name in ("PCDiv", "EmMrgnTrgDiv"):
        encoded = parts[name].dictionary_encode()
        parts = parts.set_column(parts.schema.get_field_index(name), name, encoded)
    assert_same(option_quotes(parts, SESSIONS), expected)


def test_the_repeats_of_an_emergency_margin_day_are_left_out():
    """EmMrgnTrgDiv 001 is a second row of the same series; a missing mark is no 002 either."""
    frame = rows()
    repeats = frame.assign(EmMrgnTrgDiv="001", OI=1e9)
    unmarked = frame.assign(EmMrgnTrgDiv=None, OI=1e9)
    seen = option_quotes(table(pd.concat([repeats, frame, unmarked])), SESSIONS)
    assert_same(seen, option_quotes(table(frame), SESSIONS))


def test_rows_off_the_axis_and_rows_that_name_no_contract_are_left_out():
    """Dates before, between and after the columns; no SQD, strike or type before July 2016."""
    frame = rows()
    strange = [
        frame[:5].assign(Date=np.datetime64(date, "ns"))
        for date in ("2022-12-30", "2023-01-07", "2024-01-04")
    ]
    strange += [
        frame[:5].assign(SQD=pd.NaT),
        frame[:5].assign(Strike=np.nan),
        frame[:5].assign(PCDiv=None),
        frame[:5].assign(PCDiv=""),
    ]
    seen = option_quotes(table(pd.concat([frame, *strange], ignore_index=True)), SESSIONS)
    assert_same(seen, option_quotes(table(frame), SESSIONS))


def test_missing_numbers_stay_missing():
    """A null is NaN, and the index value is taken from the rows that have one."""
    frame = rows()
    frame.loc[frame["Strike"] < 25500.0, ["IV", "Settle", "UnderPx"]] = np.nan
    quotes = option_quotes(table(frame), SESSIONS)
    low = quotes.strike < 25500.0
    assert low.any()
    assert not low.all()
    np.testing.assert_array_equal(np.isnan(quotes.iv), low)
    np.testing.assert_array_equal(np.isnan(quotes.settle), low)
    np.testing.assert_array_equal(quotes.underlying, [25000.0, 25001.0, 25002.0])


def test_an_empty_file_and_an_empty_axis_give_empty_quotes():
    """Columns there are, quotes there are none."""
    nothing = option_quotes(table(rows().iloc[:0]), SESSIONS)
    np.testing.assert_array_equal(nothing.offsets, [0, 0, 0, 0])
    assert np.isnan(nothing.underlying).all()
    assert option_quotes(table(rows()), SESSIONS[:0]).strike.size == 0
