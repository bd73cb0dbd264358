"""``g5 check-chunks``: the familiar table, and exit codes a script can build on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.manifest import Manifest, to_json
from tests.cli.inspection.chunk_folders import MANIFEST, Folder, folder_with
from tests.dataset.builders import COLUMNS

HASH = MANIFEST.schema_hash[:8]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Three quarters."""
    return folder_with(tmp_path, "2020Q1", "2020Q2", "2020Q3")


def check(folder: Folder, *flags: str) -> int:
    return folder.run("check-chunks", "--schema-manifest", str(folder.manifest), *flags)


def test_good_chunks_are_a_table_and_ok(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines about the manifest, one for each chunk, one at the end; exit code 0."""
    before = folder.contents()
    assert check(folder) == 0
    assert folder.contents() == before
    assert capsys.readouterr().out.splitlines() == [
        f"Schema manifest: {folder.manifest} (version 1.2.0)",
        f"Expected schema hash: {MANIFEST.schema_hash}",
        "",
        "Chunk   Rows  State      Schema      Issues",
        f"2020Q1     2  completed  ✓ {HASH}",
        f"2020Q2     2  completed  ✓ {HASH}",
        f"2020Q3     2  completed  ✓ {HASH}",
        "",
        "[OK] All 3 chunks validated successfully",
    ]


def test_a_mismatch_is_told_column_by_column(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, extra and retyped columns with expected and found; exit code 1."""
    folder.add_other("2020Q2")
    assert check(folder) == 1
    lines = capsys.readouterr().out.splitlines()
    found = folder.store.read_status("2020Q2")["schema_hash"][:8]
    assert lines[5] == f"2020Q2     2  completed  ✗ {found}  1 missing; 1 extra; 1 retyped"
    assert lines[8:] == [
        "2020Q2:",
        "  missing columns (1): sector (Categorical)",
        "  extra columns (1): more (Float32)",
        "  type mismatches (1): is_traded: expected Int8, found Int16",
        "[FAIL] 1 of 3 chunks have findings: 2020Q2",
    ]


def test_a_mismatch_may_be_told_without_failing(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --no-fail-on-schema a mismatch is shown, and other findings still count."""
    folder.add_other("2020Q2")
    assert check(folder, "--no-fail-on-schema") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("[WARN] 1 of 3 chunks differ")
    folder.store.parquet_path("2020Q1").unlink()
    assert check(folder, "--no-fail-on-schema") == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("findings: 2020Q1")


def test_without_a_manifest_states_and_files_are_checked(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """No tick is claimed; hashes are shown, and different ones are a finding all the same."""
    assert folder.run("check-chunks") == 0
    out = capsys.readouterr().out
    assert "✓" not in out
    assert f"completed  {HASH}" in out
    assert out.splitlines()[-1] == "[OK] All 3 chunks are complete; schema not validated"
    folder.add_other("2020Q2")
    assert folder.run("check-chunks") == 1
    assert f"2 of the others {MANIFEST.schema_hash}" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--validate-schema", "--fail-on-schema"])
def test_the_flags_of_old_take_the_manifest_of_the_project(
    folder: Folder, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chunks of this test hold a few columns of their own: thousands are missing."""
    assert folder.run("check-chunks", flag) == 1
    out = capsys.readouterr().out
    assert "feature_schema_manifest.json (version " in out
    assert " more\n" in out


def test_states_and_reasons_stand_in_the_table(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failed, and without a status."""
    error = {"type": "StorageError", "message": "no such thing " * 9, "hint": ""}
    folder.edit("2020Q1", state="failed", error=error)
    folder.store.status_path("2020Q2").unlink()
    assert check(folder) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].startswith(f"2020Q1     2  failed     ✓ {HASH}  failed: no such thing")
    assert lines[4].endswith("...")
    assert lines[5].startswith("2020Q2     -  -          -           status file")
    assert "[FAIL] 2 of 3 chunks have findings: 2020Q1, 2020Q2" in lines[-1]


def test_warnings_count_only_when_asked(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """What the content checks found, and names that are no chunks; hidden ones are passed over."""
    folder.add("2020Q2", ranges={"is_traded": (0, 0)})
    for name in ("notes.txt", ".hidden"):
        (folder.store.folder / name).write_text("")
    (folder.store.folder / "2020Q5").mkdir()
    assert check(folder) == 0
    out = capsys.readouterr().out
    assert "  warning: values outside their range in 1 column: is_traded [0, 0]" in out
    assert "no chunks: 2020Q5, notes.txt" in out
    assert check(folder, "--fail-on-warning") == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("findings: 2020Q2")
    folder.add("2020Q2")
    assert check(folder, "--fail-on-warning") == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        "[FAIL] 0 of 3 chunks have findings: warnings count"
    )


def test_the_checksum_is_verified_on_request(folder: Folder) -> None:
    """A changed byte between header and footer."""
    path = folder.store.parquet_path("2020Q3")
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    assert check(folder) == 0
    assert check(folder, "--verify-sha256") == 1


def test_json_holds_the_same(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """One document: manifest, verdict, and every chunk with all that was found."""
    folder.add_other("2020Q2")
    assert check(folder, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["manifest"]["schema_hash"] == MANIFEST.schema_hash
    assert (told["passed"], told["failed"]) == (False, ["2020Q2"])
    first, second, _ = told["chunks"]
    assert (first["chunk_id"], first["state"], first["passed"]) == ("2020Q1", "completed", True)
    assert second["violations"]["retyped"] == [
        {"name": "is_traded", "expected": "Int8", "found": "Int16"}
    ]
    assert folder.run("check-chunks", "--json") == 1
    assert json.loads(capsys.readouterr().out)["manifest"] is None


def test_a_terminal_without_ticks_gets_words(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing breaks where the marks cannot be shown."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ended = folder.start("check-chunks", "--schema-manifest", str(folder.manifest))
    assert ended.returncode == 0, ended.stderr
    assert f"completed  ok {HASH}" in ended.stdout


def _no_folder(folder: Folder) -> None:
    folder.store.folder.rename(folder.root / "elsewhere")


def _file_for_folder(folder: Folder) -> None:
    _no_folder(folder)
    folder.store.folder.write_text("")


def _empty_folder(folder: Folder) -> None:
    _no_folder(folder)
    (folder.store.folder / "notes").mkdir(parents=True)


def _manifest(folder: Folder, content: dict[str, Any] | bytes | None) -> None:
    if content is None:
        folder.manifest.unlink()
    else:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        folder.manifest.write_bytes(text)


DOCUMENT = to_json(MANIFEST)
TWICE = to_json(Manifest("1.2.0", "2024-06-03T08:00:00Z", "test", (*COLUMNS, COLUMNS[2])))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_folder, "there is no such folder"),
        (_file_for_folder, "there is no such folder"),
        (_empty_folder, "no chunk in"),
        (lambda f: _manifest(f, None), "does not exist"),
        (lambda f: _manifest(f, b""), "is empty"),
        (lambda f: _manifest(f, b"{"), "cut off"),
        (
            lambda f: _manifest(f, DOCUMENT | {"schema_hash": "0" * 16}),
            "schema_hash says '0000000000000000', its columns give",
        ),
        (
            lambda f: _manifest(f, DOCUMENT | {"columns": DOCUMENT["columns"][:-1]}),
            "total_columns says 5, its columns give 4",
        ),
        (lambda f: _manifest(f, TWICE), "duplicate columns: 'ret_prev_1d'"),
    ],
    ids=[
        *("no folder", "file", "empty folder", "no manifest", "empty manifest"),
        *("cut manifest", "edited hash", "edited columns", "duplicate column"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_2(
    folder: Folder, spoil: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chunks folder or the manifest is missing or damaged; the line names the path."""
    spoil(folder)
    before = folder.contents()
    assert check(folder) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("g5 check-chunks: error: ")
    assert said in line
    assert str(folder.manifest if "manifest" in line else folder.store.folder) in line
    assert folder.contents() == before
