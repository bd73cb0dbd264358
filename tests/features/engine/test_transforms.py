"""The ten transforms against the reference on plain lists."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.features.engine import transforms
from pipeline.features.engine.column_spec import DType, Feature
from pipeline.features.engine.transforms import HISTORY, NULL_INT8, TRANSFORMS
from tests.features.windows import PROPERTY
from tests.reference import transforms as reference
from tests.reference.operators import Value

CATALOGUE = Path(__file__).parents[2] / "data" / "features.csv"

# Thousandths, so that no difference of two values is lost in rounding; some levels make ties.
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, 1.0, 100.7]),
    st.integers(-1_000_000, 1_000_000).map(lambda n: n / 1000),
)
VALUES = st.one_of(st.none(), NUMBERS)
HISTORIES = st.one_of(
    st.lists(VALUES, min_size=HISTORY, max_size=HISTORY),
    st.lists(NUMBERS, min_size=HISTORY, max_size=HISTORY),
)
MEMBERS = st.lists(VALUES, max_size=45)


def nan(values: list[Value]) -> np.ndarray:
    return np.array([np.nan if x is None else x for x in values], np.float64)


def floats(n: int) -> np.ndarray:
    return np.full(n, 99.0, np.float32)


def flags(n: int) -> np.ndarray:
    return np.full(n, 99, np.int8)


def read(column: np.ndarray, row: int) -> Value:
    """One stored value with the null marks as None."""
    is_null = column[row] == NULL_INT8 if column.dtype == np.int8 else np.isnan(column[row])
    return None if is_null else float(column[row])


def time_series(history: list[Value], now: Value) -> dict[str, Value]:
    out = (floats(1), floats(1), floats(1), flags(1))
    x = nan([*history, now])[np.newaxis]
    transforms.time_series(x, np.zeros((1, 1), np.int32), *out)
    return {name: read(c, 0) for name, c in zip(reference.TIME_SERIES, out, strict=True)}


def one_day(members: list[Value], rows: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(1, codes) values and rows; a code outside the universe has the row -1."""
    x = nan(members)[np.newaxis]
    row_of = np.arange(len(members)) if rows is None else np.array(rows)
    return x, row_of.astype(np.int32)[np.newaxis]


def sector(members: list[Value], sectors: list[int]) -> list[dict[str, Value]]:
    x, row_of = one_day(members)
    out = (floats(len(members)), floats(len(members)))
    transforms.sector(x, np.array([sectors], np.int16), row_of, 3, *out)
    return [
        {name: read(c, row) for name, c in zip(reference.SECTOR, out, strict=True)}
        for row in range(len(members))
    ]


def cross_section(members: list[Value], rows: list[int] | None = None) -> list[dict[str, Value]]:
    x, row_of = one_day(members, rows)
    n = int(row_of.max(initial=-1)) + 1
    out = (floats(n), floats(n), flags(n), flags(n))
    transforms.cross_section(x, np.argsort(x, axis=1), row_of, *out)
    return [
        {name: read(c, row) for name, c in zip(reference.CROSS_SECTION, out, strict=True)}
        for row in range(n)
    ]


def assert_agrees(seen: Value, expected: Value, scale: float = 0.0) -> None:
    if seen is None or expected is None:
        assert seen is expected
    else:
        assert abs(seen - expected) <= 1e-6 * abs(expected) + 1e-12 * scale


@PROPERTY
@given(history=HISTORIES, now=VALUES)
@example(history=[1.0] * 10 + [None] * 10, now=1.0)
@example(history=[1.0, 2.0] * 5 + [None] * 10, now=3.0)
@example(history=[1.0, 2.0] * 4 + [1.0] + [None] * 11, now=3.0)
@example(history=[0.1] * 20, now=0.2)
@example(history=[None] * 20, now=1.0)
def test_time_series_transforms_agree_with_the_reference(history: list[Value], now: Value):
    """Mean, deviation, score and flag over 20 values of which some are null or equal."""
    seen = time_series(history, now)
    scale = max((abs(x) for x in [*history, now] if x is not None), default=0.0)
    for suffix in ("_roll_mean_20d", "_roll_std_20d", "_zscore_20d"):
        expected = reference.time_series(suffix, now, history)
        assert_agrees(seen[suffix], expected, scale)
    score = reference.time_series("_zscore_20d", now, history)
    if score is None or abs(abs(score) - 2) > 1e-9:  # else rounding decides
        expected = reference.time_series("_outlier_flag", now, history)
        assert seen["_outlier_flag"] == expected


def test_ten_values_make_a_mean_and_nine_do_not():
    """Fewer than 10 non-null values of the 20: all four are null."""
    ten = time_series([1.0, 3.0] * 5 + [None] * 10, 2.0)
    assert ten == {
        "_roll_mean_20d": 2.0,
        "_roll_std_20d": pytest.approx(np.sqrt(10 / 9), rel=1e-6),
        "_zscore_20d": 0.0,
        "_outlier_flag": 0.0,
    }
    nine = time_series([1.0, 3.0] * 4 + [1.0] + [None] * 11, 2.0)
    assert set(nine.values()) == {None}


@pytest.mark.parametrize(("spread", "is_null"), [(0.9e-12, True), (1.2e-12, False)])
def test_a_deviation_of_rounding_size_has_no_score(spread: float, is_null: bool):
    """std <= 1e-12 * max(1, |mean|): score and flag null, mean and raw std stay."""
    level = spread / np.sqrt(20 / 19)  # of +-level, ten times each, the deviation is spread
    seen = time_series([level, -level] * 10, 1.0)
    assert (seen["_zscore_20d"] is None) == is_null
    assert (seen["_outlier_flag"] is None) == is_null
    assert seen["_roll_std_20d"] == pytest.approx(spread, rel=1e-6)


def test_the_outlier_flag_is_taken_before_rounding():
    """A score just above 2 is 2.0 in float32, and still an outlier; exactly 2 is none."""
    deviation = np.sqrt(20 / 19)
    seen = time_series([1.0, -1.0] * 10, 2 * deviation * (1 + 1e-10))
    assert seen["_zscore_20d"] == 2.0
    assert seen["_outlier_flag"] == 1.0
    below = time_series([1.0, -1.0] * 10, 2 * deviation * (1 - 1e-10))
    assert (below["_zscore_20d"], below["_outlier_flag"]) == (2.0, 0.0)
    assert time_series([1.0, -1.0] * 10, -3.0)["_outlier_flag"] == 1.0


def test_the_day_itself_is_not_in_its_window():
    """The window ends on the day before, and a code without a row leaves all rows alone."""
    x = np.arange(2 * (HISTORY + 2), dtype=np.float64).reshape(2, -1)
    out = (floats(2), floats(2), floats(2), flags(2))
    transforms.time_series(x, np.array([[-1, -1], [0, 1]], np.int32), *out)
    assert out[0].tolist() == [x[1, :20].mean(), x[1, 1:21].mean()]


@PROPERTY
@given(st.lists(st.tuples(VALUES, st.integers(0, 2)), min_size=0, max_size=30))
@example([(1.0, 0)] * 5 + [(None, 0), (2.0, 1), (2.0, 1), (2.0, 1), (2.0, 1), (None, 1)])
def test_sector_transforms_agree_with_the_reference(members: list[tuple[Value, int]]):
    """Mean of the own sector, given to members without a value too; null below 5 values."""
    values, sectors = [v for v, _ in members], [s for _, s in members]
    scale = max((abs(x) for x in values if x is not None), default=0.0)
    for (value, own), seen in zip(members, sector(values, sectors), strict=True):
        peers = [v for v, s in members if s == own]
        for suffix in reference.SECTOR:
            assert_agrees(seen[suffix], reference.sector(suffix, value, peers), scale)


@PROPERTY
@given(MEMBERS)
@example([float(i) for i in range(19)])
@example([float(i) for i in range(20)] + [None])
@example([7.0] * 25)
@example([0.0, -0.0] * 10)
def test_rank_transforms_agree_with_the_reference(members: list[Value]):
    """Average ranks of the non-null values; null below 20 of them."""
    for value, seen in zip(members, cross_section(members), strict=True):
        for suffix in reference.CROSS_SECTION:
            assert_agrees(seen[suffix], reference.cross_section(suffix, value, members))


def test_ranks_run_from_one_and_shares_from_zero_to_one():
    """Without ties: 1 to n, 0 to 1, whatever stands beside without a value."""
    seen = cross_section([None, *map(float, range(21)), None])
    assert [row["_cs_rank"] for row in seen[1:-1]] == list(range(1, 22))
    assert (seen[1]["_cs_pct"], seen[21]["_cs_pct"]) == (0.0, 1.0)
    assert set(seen[0].values()) == {None}


def test_flags_of_the_fifths_are_taken_before_rounding():
    """Of 21 values the share 4/20 is in the lowest fifth, though 0.2 in float32 is above 0.2."""
    seen = cross_section([float(i) for i in range(21)])
    assert [row["_cs_bottom20_flag"] for row in seen] == [1.0] * 5 + [0.0] * 16
    assert [row["_cs_top20_flag"] for row in seen] == [0.0] * 16 + [1.0] * 5
    assert seen[4]["_cs_pct"] > 0.2


def test_codes_outside_the_universe_take_no_part():
    """A code without a row gets nothing; its value is null by then, so it counts nowhere."""
    values: list[Value] = [None, *map(float, range(20))]
    seen = cross_section(values, rows=[-1, *range(20)])
    assert [row["_cs_rank"] for row in seen] == list(range(1, 21))


def test_codes_without_a_value_change_no_bit_of_the_others():
    """Sums run over the members alone: 30 values, or the same 30 with nulls between them."""
    values: list[Value] = np.random.default_rng(1).normal(size=30).tolist()
    sparse: list[Value] = [v for value in values for v in (None, value)]
    assert sector(sparse, [0] * 60)[1::2] == sector(values, [0] * 30)
    assert cross_section(sparse)[1::2] == cross_section(values)


def test_ranks_do_not_depend_on_the_order_of_codes():
    """Ties included."""
    values: list[Value] = np.random.default_rng(2).integers(0, 9, 30).astype(float).tolist()
    assert cross_section(values[::-1])[::-1] == cross_section(values)


def all_features() -> list[Feature]:
    """Every row of the table, of families built later too."""
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["family"] != "label"]
    return [
        Feature(
            name=row["name"],
            family=row["family"],
            formula=row["formula"],
            inputs=row["inputs"],
            lookback=int(row["lookback_days"]),
            available=row["available"],
            dtype=next(d for d in get_args(DType) if d == row["dtype"]),
            unit=row["unit"],
            null_rule=row["nullable_when"],
            check=row["check"],
        )
        for row in rows
    ]


def test_every_feature_has_the_transforms_of_its_class():
    """420 base columns, 3,118 derived ones, each with the suffixes of the reference."""
    features = all_features()
    assert len(features) == 420
    for feature in features:
        expected = reference.suffixes_of(feature.family, feature.dtype)
        assert tuple(t.suffix for t in transforms.transforms_of(feature)) == expected
        assert transforms.transform_class(feature) == reference.class_of(
            feature.family, feature.dtype
        )
    assert sum(len(transforms.transforms_of(feature)) for feature in features) == 3118


def test_suffixes_stand_in_the_agreed_order():
    """Time series, sector, cross-section: flags are int8, the rest float32."""
    assert tuple(t.suffix for t in TRANSFORMS) == reference.SUFFIXES
    assert {t.suffix for t in TRANSFORMS if t.dtype == "int8"} == {
        suffix for suffix in reference.SUFFIXES if suffix.endswith("_flag")
    }
