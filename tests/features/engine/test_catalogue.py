"""The catalogue in code against the agreed table and the agreed manifest."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import manifest
from pipeline.features.engine import catalogue
from pipeline.features.engine.column_spec import Feature
from pipeline.features.engine.transforms import transform_class, transforms_of

ROOT = Path(__file__).parents[3]
LABEL = "label"  # forward-looking: never in the catalogue of features


@cache
def agreed_rows() -> list[dict[str, str]]:
    """Rows of ``tests/data/features.csv``, labels aside."""
    with (ROOT / "tests/data/features.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["family"] != LABEL]


FORGOTTEN_INPUTS = {
    # TOPIX comes from its own endpoint.
    "growth250_rel_20d": ";idx-bars-daily-topix.C",
    # mktcap_turnover_20d, one of its parts, reads the statements.
    "crowding_score": ";fin-summary.ShOutFY,TrShFY",
}
"""What the agreed table leaves out; found by taking each source away."""


def as_row(feature: Feature) -> dict[str, str]:
    """All ten attributes under the names of the table."""
    values = {**vars(feature), "lookback_days": str(feature.lookback)}
    values["nullable_when"] = values.pop("null_rule")
    del values["lookback"]
    return values


def test_the_catalogue_is_the_agreed_table():
    """Families and rows in order, every attribute to the letter, the formula too."""
    assert [feature.name for feature in catalogue.features()] == [r["name"] for r in agreed_rows()]
    for feature, row in zip(catalogue.features(), agreed_rows(), strict=True):
        inputs = row["inputs"] + FORGOTTEN_INPUTS.get(feature.name, "")
        assert as_row(feature) == {**row, "inputs": inputs}


def test_families_stand_together_in_order():
    """One module per family, named for it; every row names the module it stands in."""
    order = [family for family, _ in groupby(catalogue.features(), key=lambda f: f.family)]
    assert order == list(dict.fromkeys(row["family"] for row in agreed_rows()))
    assert len(order) == 33
    for family, module in zip(order, catalogue.FAMILIES, strict=True):
        assert re.fullmatch(rf"pipeline\.features\.\w+\.{family}", module.__name__)
        assert {feature.family for feature in module.FEATURES} == {family}


def test_the_numbers_of_columns():
    """420 base columns, 3,538 feature columns; classes X 251, S 18, F 38, M 59, N 54."""
    assert len(catalogue.features()) == 420
    assert len(catalogue.column_schema()) == 2 + 3538
    classes = Counter(map(transform_class, catalogue.features()))
    assert classes == {"X": 251, "S": 18, "F": 38, "M": 59, "N": 54}


def test_a_base_column_is_followed_by_its_transforms():
    """Keys first, then feature by feature in catalogue order; no name stands twice."""
    names = catalogue.column_schema().names
    assert names[:2] == ["Date", "Code"]
    expected = [
        feature.name + suffix
        for feature in catalogue.features()
        for suffix in ("", *(t.suffix for t in transforms_of(feature)))
    ]
    assert names[2:] == expected
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("feature", catalogue.features(), ids=lambda f: f.name)
def test_the_arrow_type_is_the_declared_one(feature: Feature):
    """Floats as float32, nullable integers in the width of the table, flags as int8."""
    arrow = {"float32": pa.float32(), "int8": pa.int8(), "int16": pa.int16()}
    schema = catalogue.column_schema()
    assert schema.field(feature.name).type == arrow[feature.dtype]
    for transform in transforms_of(feature):
        is_flag = transform.suffix.endswith("_flag")
        expected = pa.int8() if is_flag else pa.float32()
        assert schema.field(feature.name + transform.suffix).type == expected


def test_keys_are_never_null_and_everything_else_is_a_feature():
    """Roles stand in the schema: two keys, the rest features, no label among them."""
    roles = {field.name: field.metadata[catalogue.ROLE] for field in catalogue.column_schema()}
    assert {name for name, role in roles.items() if role == b"key"} == {"Date", "Code"}
    assert Counter(roles.values()) == {b"key": 2, b"feature": 3538}
    nullable = {field.name for field in catalogue.column_schema() if field.nullable}
    assert nullable == set(roles) - {"Date", "Code"}


def test_the_manifest_agrees_with_the_catalogue():
    """schema/feature_schema_manifest.json: the same columns, total and hash."""
    path = ROOT / "schema/feature_schema_manifest.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    columns = manifest.columns_of(catalogue.column_schema())
    assert manifest.from_json(written).columns == columns
    assert written["schema_hash"] == manifest.schema_hash(columns)
    assert written["total_columns"] == len(columns) == 3540


def test_the_warm_up_covers_look_back_carry_and_history():
    """Split factors (560 columns back) and 20 columns each for carry and transforms; the daily
    look-backs are shorter, and only the statement book reaches further."""
    deep = {f.name for f in catalogue.features() if f.lookback > 560}
    assert all(
        catalogue.EARLIER_DAYS.keys() & f.endpoints for f in catalogue.features() if f.name in deep
    )
    assert catalogue.warm_up_columns() == 560 + 20 + 20


def test_repeating_columns_are_columns():
    """What is encoded as repeating is part of the schema; market-wide columns are in it."""
    repeating = catalogue.repeating_columns()
    assert repeating <= set(catalogue.column_schema().names)
    assert {"opt_iv_atm_30d", "opt_iv_atm_30d_zscore_20d", "ret_prev_1d_cs_rank"} <= repeating
    assert "ret_prev_1d" not in repeating
