"""``g5 regenerate-manifest``: the agreed schema, from the catalogue or from a chunk."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.features.engine import catalogue
from pipeline.filesystem.documents import read_document
from pipeline.manifest import columns_of, from_json


def regenerate(output: Path, version: str, *options: str) -> int:
    return cli.main(
        ["regenerate-manifest", "--output", str(output), "--version", version, *options]
    )


def test_it_holds_the_columns_of_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file passes its own schema; path, version, number and hash are printed."""
    path = tmp_path / "manifest.json"
    assert regenerate(path, "0.1.0") == 0
    manifest = from_json(read_document(path, "manifest"))
    assert manifest.columns == columns_of(catalogue.column_schema())
    (line,) = capsys.readouterr().out.splitlines()
    assert f"version 0.1.0, {len(manifest.columns)} columns, hash {manifest.schema_hash}" in line


def test_a_version_must_rise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same version is refused and the file stays, unless it is to be overwritten."""
    path = tmp_path / "manifest.json"
    assert regenerate(path, "0.2.0") == 0
    content = path.read_bytes()
    assert regenerate(path, "0.2.0") == 2
    assert regenerate(path, "0.1.9") == 2
    assert path.read_bytes() == content
    assert "not higher than the present 0.2.0" in capsys.readouterr().err
    assert regenerate(path, "0.2.0", "--overwrite") == 0
    assert regenerate(path, "0.10.0") == 0  # numbers, not letters


def test_it_takes_the_columns_of_a_chunk_and_shows_what_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column less is named before the file is written."""
    path, chunk = tmp_path / "manifest.json", tmp_path / "chunk.parquet"
    schema = catalogue.column_schema()
    pq.write_table(schema.remove(schema.get_field_index("ret_prev_1d")).empty_table(), chunk)
    assert regenerate(path, "0.1.0") == 0
    capsys.readouterr()
    assert regenerate(path, "0.2.0", "--reference-chunk", str(chunk)) == 0
    assert "ret_prev_1d" in capsys.readouterr().out
    assert len(json.loads(path.read_text())["columns"]) == len(schema) - 1


def test_a_damaged_chunk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    chunk = tmp_path / "chunk.parquet"
    chunk.write_bytes(b"not Parquet")
    assert regenerate(tmp_path / "m.json", "0.1.0", "--reference-chunk", str(chunk)) == 30
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(chunk) in err
    assert not (tmp_path / "m.json").exists()


def test_a_version_has_three_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else is refused in one line."""
    assert regenerate(tmp_path / "m.json", "1.0") != 0
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "m.json").exists()


def test_a_chunk_of_two_columns_is_a_manifest_of_two(tmp_path: Path) -> None:
    """The reference decides, whatever the catalogue holds."""
    path, chunk = tmp_path / "manifest.json", tmp_path / "chunk.parquet"
    fields = [
        pa.field("Date", pa.date32(), nullable=False),
        pa.field("Code", pa.string(), nullable=False),
    ]
    pq.write_table(pa.schema(fields).empty_table(), chunk)
    assert regenerate(path, "0.1.0", "--reference-chunk", str(chunk)) == 0
    manifest = from_json(read_document(path, "manifest"))
    assert [column.name for column in manifest.columns] == ["Date", "Code"]


def test_a_damaged_manifest_is_replaced_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stood there cannot be compared with, which is said."""
    path = tmp_path / "manifest.json"
    assert regenerate(path, "0.1.0") == 0
    edited = json.loads(path.read_text()) | {"schema_hash": "0" * 16}
    for content in (b"", b"{", json.dumps(edited).encode()):
        path.write_bytes(content)
        capsys.readouterr()
        assert regenerate(path, "0.2.0") != 0
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path) in line
        assert "--overwrite" in line
        assert path.read_bytes() == content
        assert regenerate(path, "0.2.0", "--overwrite") == 0
        assert "replaced unread" in capsys.readouterr().err
        assert from_json(read_document(path, "manifest")).version == "0.2.0"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (pa.schema([("Date", pa.date32()), ("x", pa.list_(pa.int8()))]), "unknown dtypes: 'x:list"),
        (pa.schema([("Date", pa.date32()), ("a:b", pa.int8())]), "'a:b'"),
    ],
)
def test_columns_that_cannot_be_agreed_on_are_refused(
    tmp_path: Path, schema: pa.Schema, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Types readers would not agree about, and names that make the hash ambiguous."""
    chunk = tmp_path / "chunk.parquet"
    pq.write_table(schema.empty_table(), chunk)
    assert regenerate(tmp_path / "m.json", "0.1.0", "--reference-chunk", str(chunk)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(chunk) in line
    assert said in line
    assert not (tmp_path / "m.json").exists()


def test_the_difference_is_told_before_and_with_both_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Added, removed and retyped columns, one line each."""
    old, new, path = (tmp_path / name for name in ("old.parquet", "new.parquet", "m.json"))
    pq.write_table(pa.table({"a": pa.array([1.0]), "b": pa.array([1], pa.int16())}), old)
    pq.write_table(pa.table({"b": pa.array([1], pa.int64()), "c": ["x"]}), new)
    assert regenerate(path, "1.0.0", "--reference-chunk", str(old)) == 0
    before = json.loads(path.read_text())["schema_hash"]
    capsys.readouterr()
    assert regenerate(path, "1.1.0", "--reference-chunk", str(new)) == 0
    after = json.loads(path.read_text())["schema_hash"]
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "+ c (String)",
        "- a (Float64)",
        "~ b: Int16 -> Int64",
        f"version 1.0.0 -> 1.1.0, hash {before} -> {after}",
    ]
