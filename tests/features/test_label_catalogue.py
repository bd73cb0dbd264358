"""The labels in code against the agreed table, and what keeps them away from the features."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import manifest
from pipeline.errors import UsageError
from pipeline.features.engine import catalogue
from pipeline.features.engine.window_kernels import lagged
from pipeline.features.labels import label_rows, label_values
from pipeline.features.labels.label_values import LABELS, Label, label_schema

ROOT = Path(__file__).parents[2]


def agreed_rows() -> list[dict[str, str]]:
    """The label rows of ``tests/data/features.csv``."""
    with (ROOT / "tests/data/features.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["family"] == "label"]


def as_row(label: Label) -> dict[str, str]:
    """All ten attributes under the names of the table."""
    values = {**vars(label), "family": "label", "lookback_days": str(label.lookback)}
    values["nullable_when"] = values.pop("null_rule")
    del values["lookback"], values["ahead"]
    return values


def test_the_labels_are_those_of_the_agreed_table() -> None:
    """Forty rows in order, every attribute to the letter, the formula too."""
    assert [as_row(label) for label in LABELS] == agreed_rows()
    assert len(LABELS) == 40


def test_each_label_looks_ahead_as_far_as_its_formula_says() -> None:
    """The number is what settles a label, so it must be that of the text."""
    for label in LABELS:
        said = re.search(r"Uses columns up to T\+(\d+); never a model input$", label.formula)
        assert said is not None
        assert label.ahead == int(said[1])
    assert label_values.AHEAD == 21


def test_every_column_of_the_label_table_says_that_it_is_a_label() -> None:
    """Two keys, forty nullable floats of the role label, names that begin with label_."""
    schema = label_schema()
    roles = {field.name: field.metadata[b"role"] for field in schema}
    assert [roles.pop(key) for key in manifest.KEYS] == [b"key", b"key"]
    assert set(roles.values()) == {b"label"}
    assert all(name.startswith(manifest.LABEL_PREFIX) for name in roles)
    assert {schema.field(name).type for name in roles} == {pa.float32()}
    assert manifest.labels_among(manifest.columns_of(schema)) == tuple(roles)


def test_no_label_is_a_column_of_the_catalogue() -> None:
    """Neither by name nor by role; a label is no feature, and its module no family."""
    columns = manifest.columns_of(catalogue.column_schema())
    assert manifest.labels_among(columns) == ()
    assert not {label.name for label in LABELS} & set(catalogue.column_schema().names)
    assert not any(isinstance(feature, Label) for feature in catalogue.features())
    assert not any(isinstance(label, catalogue.Feature) for label in LABELS)
    assert label_values not in catalogue.FAMILIES
    for module in (label_values, label_rows):
        assert not {"FEATURES", "SCOPE"} & vars(module).keys()


def test_no_family_can_reach_the_columns_after_its_rows() -> None:
    """Features import neither the labels nor the arrays they are made of; no kernel looks ahead."""
    families = sorted((ROOT / "pipeline/features").rglob("*.py"))
    assert len(families) > 40
    for path in families:
        if path.stem not in ("label_values", "label_rows"):
            text = path.read_text("utf-8")
            assert "outcomes" not in text, path
            assert not re.search(r"features(\.| import .*)label(s|_rows)\b", text), path
    with pytest.raises(ValueError, match="a feature reads the past only"):
        lagged(np.zeros((1, 3)), -1, 2)


@pytest.mark.parametrize(
    "column",
    [
        manifest.Column("label_ret_cc_1d", "Float32"),
        manifest.Column("ret_next_1d", "Float32", role="label"),
    ],
)
def test_a_manifest_with_a_label_is_refused(column: manifest.Column) -> None:
    """By its name though it says feature, and by its role under another name."""
    keys = tuple(manifest.columns_of(catalogue.column_schema()))[:2]
    document = manifest.to_json(manifest.Manifest("1.0.0", "2024-06-03", "x", (*keys, column)))
    with pytest.raises(UsageError, match=rf"labels, which are never inputs: '{column.name}'"):
        manifest.from_json(document)
