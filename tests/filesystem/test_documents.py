"""Specification of the JSON documents: what is on disk is valid, or says what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from pipeline.errors import MissingData, StorageError
from pipeline.filesystem import documents as d
from tests.dataset import builders
from tests.dataset.builders import leftovers

VALID = builders.documents()
KINDS = get_args(d.Kind)


def changed(kind: str, path: str, value: object) -> dict[str, object]:
    """A valid document with one field, given as ``a.0.b``, set to something else."""
    document = json.loads(json.dumps(VALID[kind]))
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    place = document
    for key in parents:
        place = place[key]
    place[last] = value
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_sound_and_strict_schema(kind):
    """A draft 2020-12 schema in which no object takes unknown fields."""
    schema = json.loads((d.schema_folder() / f"{kind}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    objects = [schema]
    while objects:
        place = objects.pop()
        if isinstance(place, dict):
            if place.get("type") == "object":
                assert "additionalProperties" in place
            objects += place.values()
        elif isinstance(place, list):
            objects += place


@pytest.mark.parametrize("kind", KINDS)
def test_a_valid_document_comes_back_as_written(tmp_path, kind):
    """Written, read, equal."""
    path = tmp_path / "deep" / "file.json"
    d.write_document(path, kind, VALID[kind])
    assert d.read_document(path, kind) == VALID[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_required_and_no_other_is_known(tmp_path, kind):
    """Neither a field too few nor one too many is written."""
    path = tmp_path / "file.json"
    for field in VALID[kind]:
        rest = {key: value for key, value in VALID[kind].items() if key != field}
        with pytest.raises(StorageError, match=rf"'{field}' is a required property"):
            d.write_document(path, kind, rest)
    with pytest.raises(StorageError, match="'surprise' was unexpected"):
        d.write_document(path, kind, VALID[kind] | {"surprise": 1})
    assert list(tmp_path.iterdir()) == []


BROKEN = [
    ("announcement", "server", "files"),
    ("announcement", "schema_hash", "xyz"),
    ("announcement", "format", 0),
    ("rechecks", "spent", -1),
    ("rechecks", "day", "today"),
    ("rechecks", "sources.daily_bars.failed", {"january": builders.CHECKED}),
    ("rechecks", "found.0.fields", {"C": 0}),
    ("status", "chunk_id", "2020Q5"),
    ("status", "chunk_id", "2020Q1\n"),
    ("status", "chunk_id", "../2020Q1"),
    ("status", "state", "running"),
    ("status", "origin", "guess"),
    ("status", "build_id", "xyz"),
    ("status", "started_at", "2024-06-03 08:00:00"),
    ("status", "started_at", "2024-06-03T08:00:00"),
    ("status", "finished_at", None),
    ("status", "covered_from", "2020-02-30"),
    ("status", "covered_to", "20200331"),
    ("status", "rows", -1),
    ("status", "rows", None),
    ("status", "rows", 1.5),
    ("status", "schema_hash", "2875957EECEFB206"),
    ("status", "schema_version", "1.0"),
    ("status", "parquet_sha256", "ab"),
    ("status", "inputs", {"a key": builders.HASH}),
    ("status", "inputs", {builders.KEY: "no hash"}),
    ("status", "error", {"type": "X", "message": "y", "hint": ""}),
    ("status", "pid", 0),
    ("metadata", "null_rates", {"Date": 1.5}),
    ("metadata", "dtypes", {"Date": "date"}),
    ("metadata", "columns", []),
    ("metadata", "columns", ["Date", "Date"]),
    ("metadata", "sources.daily_bars.0.sha256", "x"),
    ("metadata", "sources.daily_bars.0", {"key": builders.KEY}),
    ("dataset_metadata", "dataset", "dataset.parquet"),
    ("dataset_metadata", "chunks", []),
    ("dataset_metadata", "chunks.0.build_id", None),
    ("manifest", "hash_strategy", "md5"),
    ("manifest", "column_order_enforced", False),
    ("manifest", "columns.0.dtype", "date32"),
    ("manifest", "columns.0.name", "a;b"),
    ("manifest", "columns.0.role", "target"),
    ("manifest", "columns.0", {"name": "Date"}),
    ("validation", "passed", "yes"),
    ("validation", "inputs", {"somewhere": builders.BUILD}),
    ("validation", "chunks.0.violations.missing", "Date"),
    ("validation", "chunks.0.issues", [""]),
    ("snapshot", "key", "daily_bars"),
    ("snapshot", "key", builders.KEY + "_../x"),
    ("snapshot", "tag", "../x"),
    ("snapshot", "tag", ""),
    ("snapshot", "asof", "yesterday"),
    ("snapshot", "route", ""),
    ("snapshot", "parts.0.file", "../a.parquet"),
    ("snapshot", "parts.0.period", "2020-13"),
    ("snapshot", "parts.0.bytes", 0),
    ("snapshot", "parts.0.dates", ["2020-01-06", "2020-01-06"]),
    ("rebuild", "id", ""),
    ("rebuild", "requested_at", "now"),
    ("labels", "parts.0.known_to", None),
    ("labels", "parts.0.build_id", None),
    ("labels", "parts.0.null_rates", {"label_ret_cc_1d": 2}),
    ("labels", "origin", "guess"),
    ("training", "labels", {"somewhere": builders.HASH}),
    ("training", "dataset", "dataset.parquet"),
]


@pytest.mark.parametrize(("kind", "field", "value"), BROKEN)
def test_a_wrong_value_is_refused_both_ways_and_named(tmp_path, kind, field, value):
    """Not written, and not read when somebody else wrote it; the old file stays."""
    path = tmp_path / "file.json"
    document = changed(kind, field, value)
    d.write_document(path, kind, VALID[kind])
    with pytest.raises(StorageError) as info:
        d.write_document(path, kind, document)
    assert d.read_document(path, kind) == VALID[kind]
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(StorageError) as again:
        d.read_document(path, kind)
    assert str(again.value) == str(info.value)
    assert f"{kind} file {path}: does not fit its schema: $." in info.value.message
    assert re.sub(r"\.(\d+)", r"[\1]", field).split(".")[0] in info.value.message
    assert info.value.hint
    assert leftovers(tmp_path) == []


def test_each_state_of_a_status_has_its_own_fields(tmp_path):
    """building has no end and no error; failed has both and need not have rows."""
    path = tmp_path / "status.json"
    error = {"type": "StorageError", "message": "m", "hint": "h"}
    nothing = {"rows": None, "parquet_bytes": None, "parquet_sha256": None}
    building = VALID["status"] | {"state": "building", "finished_at": None} | nothing
    failed = VALID["status"] | {"state": "failed", "error": error} | nothing
    d.write_document(path, "status", building)
    d.write_document(path, "status", failed)
    d.write_document(path, "status", failed | {"state": "failed_schema_mismatch"})
    for wrong in (
        building | {"finished_at": "2024-06-03T08:00:00Z"},
        building | {"error": error},
        failed | {"error": None},
        failed | {"finished_at": None},
    ):
        with pytest.raises(StorageError):
            d.write_document(path, "status", wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"chunk_id": "2020', "is not JSON, perhaps cut off"),
        (b"\xff\xfe", "is not JSON"),
        (b"PAR1", "is not JSON"),
        (b'{"rows": NaN}', "NaN is not a JSON number"),
        (b"[]", "is not of type 'object'"),
        (b'{"state": "completed"}', "; and more"),
    ],
)
def test_a_damaged_file_says_what_is_wrong_and_what_to_do(tmp_path, content, message):
    """Empty, truncated, binary or foreign: path, reason and remedy in one line."""
    path = tmp_path / "status.json"
    path.write_bytes(content)
    with pytest.raises(StorageError) as info:
        d.read_document(path, "status")
    assert message in info.value.message
    assert str(path) in info.value.message
    assert "\n" not in str(info.value)
    assert info.value.hint == "the chunk counts as not complete; the next run builds it again"


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    """Absence has its own error: often it is no error at all."""
    with pytest.raises(MissingData, match="does not exist"):
        d.read_document(tmp_path / "status.json", "status")


def test_an_unreadable_file_is_a_readable_error(tmp_path):
    """A folder in its place stands for all that the system refuses to read."""
    with pytest.raises(StorageError, match="cannot be read: Is a directory"):
        d.read_document(tmp_path, "status")


def test_a_long_value_is_shortened_in_the_message(tmp_path):
    """The message stays one line one can read, whatever stands in the file."""
    with pytest.raises(StorageError) as info:
        d.write_document(tmp_path / "x", "status", changed("status", "rows", "9" * 10_000))
    assert len(info.value.message) < 500


def test_what_json_cannot_say_is_not_written(tmp_path):
    """NaN and objects of Python are faults of the caller, named as such."""
    for value in (float("nan"), object()):
        with pytest.raises(StorageError, match="cannot be written as JSON"):
            d.write_document(tmp_path / "x", "metadata", VALID["metadata"] | {"rows": value})
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_imported_without_jsonschema():
    """A run that has nothing to read does not pay for the validator."""
    code = "import sys, pipeline.filesystem.documents; sys.exit('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
