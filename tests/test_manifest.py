"""Specification of the manifest: hash, check, difference, and refusal of what contradicts itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import manifest as m
from pipeline.errors import SchemaMismatch, UsageError

COLUMNS = (
    m.Column("Date", "Date", nullable=False, role="key"),
    m.Column("Code", "String", nullable=False, role="key"),
    m.Column("ret_prev_1d", "Float32"),
    m.Column("is_traded", "Int8"),
    m.Column("sector33_id", "Int16"),
)
MANIFEST = m.Manifest("1.2.0", "2024-06-03T08:00:00+09:00", "catalogue", COLUMNS)

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)
columns = st.lists(
    st.builds(m.Column, name=names, dtype=st.sampled_from(m.DTYPES)),
    min_size=2,
    max_size=12,
    unique_by=lambda c: c.name,
)


def test_the_hash_is_the_one_of_the_contract():
    """sha256 over name:dtype pairs joined by semicolons, UTF-8, first 16 hex digits."""
    text = "Date:Date;Code:String;ret_prev_1d:Float32;is_traded:Int8;sector33_id:Int16"
    assert m.schema_hash(COLUMNS) == hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    # The same, worked out beforehand with sha256sum.
    assert m.schema_hash([m.Column("終値", "Float32")]) == "333aead8a9ba6e42"


@given(columns, st.data())
def test_the_hash_sees_order_names_and_dtypes_and_nothing_else(found, data):
    """Moving, renaming or retyping a column changes the hash; nullability and role do not."""
    before = m.schema_hash(found)
    at = data.draw(st.integers(0, len(found) - 1))
    column = found[at]

    def changed(**fields: Any) -> str:
        return m.schema_hash([*found[:at], replace(column, **fields), *found[at + 1 :]])

    assert m.schema_hash([*found[1:], found[0]]) != before
    assert changed(name=column.name + "x") != before
    other = data.draw(st.sampled_from([d for d in m.DTYPES if d != column.dtype]))
    assert changed(dtype=other) != before
    assert changed(nullable=not column.nullable, role="label") == before


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.int8(), "Int8"),
        (pa.int64(), "Int64"),
        (pa.uint8(), "UInt8"),
        (pa.uint64(), "UInt64"),
        (pa.float32(), "Float32"),
        (pa.float64(), "Float64"),
        (pa.bool_(), "Boolean"),
        (pa.string(), "String"),
        (pa.large_string(), "String"),
        (pa.string_view(), "String"),
        (pa.date32(), "Date"),
        (pa.date64(), "Date"),
        (pa.timestamp("us"), "Datetime"),
        (pa.timestamp("ns", "Asia/Tokyo"), "Datetime"),
        (pa.dictionary(pa.int32(), pa.string()), "Categorical"),
        (pa.dictionary(pa.uint32(), pa.large_string()), "Categorical"),
        (
            pa.dictionary(pa.int32(), pa.int64()),
            "dictionary<values=int64, indices=int32, ordered=0>",
        ),
        (pa.float16(), "halffloat"),
    ],
)
def test_dtypes_have_the_names_readers_see(arrow, name):
    """Types outside the contract keep Arrow's name, so that a report can show them."""
    assert m.dtype_name(arrow) == name


@given(columns)
def test_columns_survive_the_way_through_arrow(found):
    """An Arrow schema made of columns gives the same columns back, and says their hash."""
    schema = m.arrow_schema(found, "1.0.0")
    assert m.columns_of(schema) == tuple(found)
    assert schema.metadata == {
        b"g5.schema_hash": m.schema_hash(found).encode(),
        b"g5.schema_version": b"1.0.0",
    }


def test_a_field_without_a_role_has_the_one_its_name_suggests():
    """Files of other writers carry no roles: Date and Code are keys, the rest are features."""
    schema = pa.schema([("Date", pa.date32()), ("Code", pa.string()), ("x", pa.float32())])
    assert [c.role for c in m.columns_of(schema)] == ["key", "key", "feature"]


def test_a_file_that_states_roles_states_them_all():
    """One that is missing, or that nobody knows, is not taken for a feature."""
    schema = m.arrow_schema(COLUMNS, "1.0.0")
    stripped = schema.set(2, schema.field(2).remove_metadata())
    odd = schema.set(2, schema.field(2).with_metadata({"role": "target"}))
    for changed, role in ((stripped, "none"), (odd, "target")):
        seen = m.check(m.columns_of(changed), MANIFEST)
        name = schema.field(2).name
        assert seen.lines() == (f"column {name!r}: expected role feature, found {role}",)


def test_a_label_says_so_in_the_file():
    """The role survives in the field metadata; it cannot be mistaken for a feature."""
    schema = m.arrow_schema([*COLUMNS, m.Column("ret_next_5d", "Float32", role="label")], "1.0.0")
    assert m.columns_of(schema)[-1].role == "label"


def test_equal_columns_have_no_violations():
    """Nothing to say is falsy; nullability is not part of the agreement."""
    seen = m.check([replace(c, nullable=True) for c in COLUMNS], MANIFEST)
    assert not seen
    assert seen.lines() == ()
    seen.raise_for("chunk 2020Q1")


def test_all_violations_are_reported_together():
    """Missing, extra, duplicated, retyped, misplaced and mis-roled columns, in one go."""
    date, code, ret, traded, _ = COLUMNS
    found = [
        date,
        replace(traded, dtype="Int64"),
        code,
        replace(ret, role="label"),
        code,
        m.Column("extra_1", "String"),
    ]
    seen = m.check(found, MANIFEST)
    assert seen.lines() == (
        "missing column 'sector33_id' (Int16)",
        "extra column 'Code' (String)",
        "extra column 'extra_1' (String)",
        "column 'is_traded': expected dtype Int8, found Int64",
        "column 'ret_prev_1d': expected role feature, found label",
        "column order: 3 out of place: 'is_traded', 'Code', 'ret_prev_1d'",
    )
    assert seen.to_json() == {
        "missing": ["sector33_id"],
        "extra": ["Code", "extra_1"],
        "retyped": [{"name": "is_traded", "expected": "Int8", "found": "Int64"}],
        "order": ["is_traded", "Code", "ret_prev_1d"],
        "roles": [{"name": "ret_prev_1d", "expected": "feature", "found": "label"}],
    }
    with pytest.raises(SchemaMismatch, match="chunk 2020Q1: 6 schema violations: missing") as info:
        seen.raise_for("chunk 2020Q1", "rebuild it")
    assert info.value.violations == seen.lines()
    assert info.value.hint == "rebuild it"


@given(columns, columns)
def test_check_finds_something_exactly_when_the_hashes_differ(expected, found):
    """The quick test by hash and the slow one by column never disagree."""
    seen = m.check(found, m.Manifest("1.0.0", "", "", tuple(expected)))
    assert bool(replace(seen, roles=())) == (m.schema_hash(expected) != m.schema_hash(found))


def test_the_difference_of_two_manifests_reads_like_a_patch():
    """Added, removed, retyped and reordered columns from the old to the new one."""
    date, code, ret, traded, sector = COLUMNS
    new = replace(
        MANIFEST,
        columns=(date, code, replace(sector, dtype="Int32"), traded, m.Column("y", "Int8")),
    )
    seen = m.diff(MANIFEST, new)
    assert seen.added == (m.Column("y", "Int8"),)
    assert seen.removed == (ret,)
    assert seen.lines() == (
        "+ y (Int8)",
        "- ret_prev_1d (Float32)",
        "~ sector33_id: Int16 -> Int32",
        "~ order of 2 columns",
    )
    assert not m.diff(MANIFEST, MANIFEST)


@given(columns)
def test_a_manifest_survives_the_way_through_json(found):
    """What to_json writes, from_json reads."""
    manifest = m.Manifest("1.10.0", "2024-06-03T08:00:00Z", "file", tuple(found))
    assert m.from_json(m.to_json(manifest)) == manifest


def test_versions_compare_as_numbers():
    """1.10.0 is later than 1.9.0."""
    assert (
        replace(MANIFEST, version="1.10.0").version_key
        > replace(MANIFEST, version="1.9.0").version_key
    )


def test_a_manifest_without_roles_is_read():
    """Manifests of the predecessor name no roles."""
    document = m.to_json(MANIFEST)
    document["columns"] = [
        {key: value for key, value in column.items() if key != "role"}
        for column in document["columns"]
    ]
    assert m.from_json(document) == MANIFEST


def _with_columns(*added: dict[str, Any]) -> dict[str, Any]:
    """The manifest with more columns and no other field touched."""
    document = m.to_json(MANIFEST)
    return document | {"columns": [*document["columns"], *added]}


def _column(**fields: Any) -> dict[str, Any]:
    return {"name": "x", "dtype": "Int8", "nullable": True, "role": "feature"} | fields


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (m.to_json(MANIFEST) | {"schema_hash": "0" * 16}, "schema_hash says '0000000000000000'"),
        (m.to_json(MANIFEST) | {"total_columns": 4}, "total_columns says 4, its columns give 5"),
        (m.to_json(MANIFEST) | {"hash_strategy": "md5"}, "hash_strategy says 'md5'"),
        (m.to_json(MANIFEST) | {"column_order_enforced": False}, "column_order_enforced"),
        (m.to_json(MANIFEST) | {"version": "1.2"}, "version is not of the form X.Y.Z"),
        (_with_columns(_column(name="Code")), "duplicate columns: 'Code'"),
        (_with_columns(_column(name="a:b")), "hold ':' or ';': 'a:b'"),
        (_with_columns(_column(name="")), "names that are empty"),
        (_with_columns(_column(dtype="float")), "unknown dtypes: 'x:float'"),
        (_with_columns(_column(role="target")), "unknown roles: 'x:target'"),
        (_with_columns({"name": "x"}), "not in the expected form; KeyError"),
        ({}, "not in the expected form"),
        ({**m.to_json(MANIFEST), "columns": None}, "not in the expected form"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(document, message):
    """An edited manifest never decides about chunks."""
    with pytest.raises(UsageError) as info:
        m.from_json(document)
    assert message in str(info.value)
    assert "regenerate-manifest" in info.value.hint


def test_all_contradictions_are_named_together():
    """Nobody likes to mend one error only to meet the next."""
    document = _with_columns(*[_column(name=n, dtype="odd") for n in "aabbccddeeffgg"])
    with pytest.raises(UsageError) as info:
        m.from_json(document)
    text = str(info.value)
    assert "total_columns" in text
    assert "schema_hash" in text
    assert "duplicate columns: 'a', 'b', 'c', 'd', 'e' and 2 more" in text
    assert "unknown dtypes" in text
