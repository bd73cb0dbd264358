"""``g5 merge-chunks``: what is there becomes a dataset, unless it does not belong together."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.dataset.publication import DatasetStore
from pipeline.dataset.views import ViewStore
from pipeline.operations.planning import run_plan
from pipeline.process import log_setup
from tests.cli.inspection.chunk_folders import MANIFEST, Folder, folder_with

QUARTERS = ("2020Q3", "2020Q4", "2021Q1")


@pytest.fixture(autouse=True)
def of_one_command(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command holds its output root and sets up logging until its process ends: here, until
    the test does."""
    monkeypatch.setattr(run_plan, "_lock", None)
    monkeypatch.setattr(log_setup, "configure", lambda *_: None)
    yield
    release()


def release() -> None:
    """What the end of a process does."""
    if run_plan._lock is not None:
        run_plan._lock.close()
        run_plan._lock = None


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Three quarters of two years."""
    return folder_with(tmp_path, *QUARTERS)


def output(folder: Folder) -> tuple[str, str]:
    return "--output-dir", str(folder.root)


def merged(folder: Folder, *flags: str) -> tuple[list[str], str]:
    """Chunks of the dataset a merge published, and what it warned of."""
    ended = folder.call("merge-chunks", *output(folder), *flags)
    release()
    assert ended.returncode == 0, ended.stderr
    latest = DatasetStore(folder.root).latest()
    assert latest is not None
    assert str(latest.path) in ended.stdout
    assert (
        pq.read_metadata(folder.root / "ml_dataset_latest_full.parquet").num_rows
        == (latest.metadata["rows"])
    )
    return [chunk["chunk_id"] for chunk in latest.metadata["chunks"]], told(ended.stderr)


def told(text: str) -> str:
    """Standard error without what these folders have no cache for."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "warning: not checked: " not in line)


def refused(folder: Folder, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    """Exit code and last line of a merge that published nothing and touched nothing."""
    before = folder.contents()
    code = folder.run("merge-chunks", *output(folder), *flags)
    assert folder.contents() == before
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "error: " in line] == lines[-1:]
    return code, lines[-1]


def refused_late(folder: Folder, *flags: str) -> tuple[int, str]:
    """The same for the merge itself, which holds the output root and may leave locks and logs."""
    before = folder.contents()
    ended = folder.call("merge-chunks", *output(folder), *flags)
    release()
    after = folder.contents()
    assert {path: after[path] for path in before} == before
    assert {p.relative_to(folder.root).parts[0] for p in after.keys() - before} <= {"run", "logs"}
    (line,) = told(ended.stderr).splitlines()
    assert line.startswith("g5 merge-chunks: error: ")
    return ended.returncode, line


def test_all_chunks_of_the_folder_are_merged(folder: Folder) -> None:
    """In order of time; the strictest flags are content."""
    flags = ("--strict", "--require-schema-hash", MANIFEST.schema_hash)
    assert merged(folder, *flags) == (list(QUARTERS), "")


def test_it_is_a_command_of_its_own(folder: Folder) -> None:
    """A process holds the output root and tells rows, sessions and schema of what it made."""
    ended = folder.start("merge-chunks", *output(folder))
    assert ended.returncode == 0, ended.stderr
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert lines["rows"] == "6"
    assert lines["sessions"] == "2020-07-01 to 2021-01-01"
    assert lines["schema"] == f"{MANIFEST.schema_hash} (version 1.0.0)"
    assert lines["chunks"] == ", ".join(QUARTERS)
    assert (folder.root / "run" / "build.lock").read_text().startswith("pid ")


def test_some_years_of_it(folder: Folder) -> None:
    """The stopgap people know: only the years that agree."""
    folder.add_other("2021Q1")
    assert merged(folder, "--filter-by-year", "2020") == (["2020Q3", "2020Q4"], "")


def test_a_damaged_dataset_is_made_anew_on_request(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """One byte of a value has changed: nothing but the checksum of its page tells. The footer and
    all documents are those of a sound dataset, so a plain merge has nothing to do."""
    merged(folder)
    latest = DatasetStore(folder.root).latest()
    assert latest is not None
    sound = pq.read_table(latest.path)
    group = pq.read_metadata(latest.path).row_group(0)
    place = group.column(2).data_page_offset + group.column(2).total_compressed_size - 1
    content = bytearray(latest.path.read_bytes())
    content[place] ^= 1
    latest.path.unlink()
    latest.path.write_bytes(content)
    check = ["check-dataset", "--output", str(folder.root)]
    assert cli.main(check) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "CRC" in line
    assert "merge again: g5 merge-chunks --anew" in line
    merged(folder)
    assert cli.main(check) == 2
    merged(folder, "--anew")
    assert cli.main(check) != 2
    assert pq.read_table(folder.root / "ml_dataset_latest_full.parquet").equals(sound)


def test_a_hole_between_the_chunks_is_told(folder: Folder) -> None:
    (folder.root / "chunks" / "2020Q4").rename(folder.root / "elsewhere")
    assert merged(folder) == (
        ["2020Q3", "2021Q1"],
        "g5 merge-chunks: warning: nothing between 2020Q3 and 2021Q1\n",
    )


def test_a_view_beside_it(folder: Folder) -> None:
    """On request, of just the chunks that were merged; a second time nothing is written."""
    merged(folder)
    assert ViewStore(folder.root).latest() is None
    merged(folder, "--view", "--filter-by-year", "2020")
    view = ViewStore(folder.root).latest()
    assert view is not None
    assert sorted(path.name for path in view.glob("2*")) == ["2020Q3.parquet", "2020Q4.parquet"]
    before = folder.contents()
    merged(folder, "--view", "--filter-by-year", "2020")
    assert folder.contents() == before


def test_a_chunk_across_years_needs_all_of_them(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A year that has no chunk is missing data."""
    folder.add("2021M11-2022M02")
    code, line = refused(folder, capsys, "--filter-by-year", "2020,2021")
    assert code == 2
    assert "chunk 2021M11-2022M02 also holds 2022" in line
    code, line = refused(folder, capsys, "--filter-by-year", "2020,2021,2022,2024")
    assert code == 20
    assert "no chunk of 2024" in line


@pytest.mark.parametrize("flags", [(), ("--allow-partial",), ("--validate-schema",)])
def test_different_schemas_are_refused_whatever_the_flags(
    folder: Folder, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunk and both hashes are named; against the manifest of the project all three differ."""
    folder.add_other("2020Q4")
    found = folder.store.read_status("2020Q4")["schema_hash"]
    if flags == ("--validate-schema",):
        code, line = refused(folder, capsys, *flags, "--fail-on-schema-mismatch")
        assert code == 30
        assert "chunks against the manifest" in line
        return
    code, line = refused_late(folder, *flags)
    assert code == 30
    assert f"2020Q4: status says {found}, file {found}" in line
    assert MANIFEST.schema_hash in line


def test_a_mismatch_with_the_manifest_may_be_merged_but_is_told(folder: Folder) -> None:
    """All chunks agree with each other, none with the manifest of the project."""
    chunks, told = merged(folder, "--validate-schema")
    assert chunks == list(QUARTERS)
    assert len(told.splitlines()) == 3
    assert "warning: 2020Q3 differs from the manifest: missing columns (" in told


def test_chunks_that_are_not_complete_stop_the_merge_or_are_left_out(folder: Folder) -> None:
    """By default they are named with exit code 20; with --allow-partial the others are merged."""
    folder.store.status_path("2020Q4").unlink()
    os.truncate(folder.store.parquet_path("2021Q1"), 9)
    code, line = refused_late(folder)
    assert code == 20
    assert "2 of 3 chunks are not complete" in line
    chunks, told = merged(folder, "--allow-partial")
    assert chunks == ["2020Q3"]
    assert "left out 2020Q4: status file" in told
    assert "left out 2021Q1: the Parquet file cannot be read" in told


def test_nothing_fit_to_merge(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """Leaving everything out is no merge."""
    for chunk in QUARTERS:
        folder.store.status_path(chunk).unlink()
    code, line = refused(folder, capsys, "--allow-partial")
    assert code == 20
    assert "is fit" in line


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.add("2020Q4", ranges={"is_traded": (0, 0)}), "values outside their range"),
        (lambda f: f.add("2021Q3"), "nothing between 2021Q1 and 2021Q3"),
        (lambda f: f.store.metadata_path("2020Q4").unlink(), "does not exist"),
        (lambda f: f.edit("2020Q4", parquet_sha256="0" * 64), "sha256 differs"),
        (lambda f: f.add("2020M10"), "begins 2020-10-01, but chunk"),
    ],
    ids=["warning", "gap", "metadata", "checksum", "overlap"],
)
def test_strict_refuses_what_else_is_found(
    folder: Folder, spoil: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning, a gap, damage that a plain merge would not see."""
    spoil(folder)
    code, line = refused(folder, capsys, "--strict")
    assert code == 30
    assert said in line
    assert ("g5 check-chunks --verify-sha256" in line) == (said == "sha256 differs")


def test_a_hash_may_be_required(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """Every chunk must have it."""
    code, line = refused(folder, capsys, "--require-schema-hash", "0" * 16)
    assert code == 30
    assert f"2020Q3: {MANIFEST.schema_hash}" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"origin": "api"}, "different origin: api, simulator"), (None, "but 2020Q4 ends 2020-10-01")],
)
def test_other_origins_and_the_same_dates_are_refused(
    folder: Folder, changes: dict[str, str] | None, said: str
) -> None:
    """Whoever copied them there; nothing is lost."""
    if changes is None:
        folder.add("2020M10-2021M03")
    else:
        folder.edit("2020Q4", **changes)
    code, line = refused_late(folder, "--allow-partial")
    assert code == 30
    assert said in line


def test_a_running_build_is_not_disturbed(folder: Folder) -> None:
    """Exit code 10 while another process holds the output root."""
    lock = folder.root / "run" / "build.lock"
    lock.parent.mkdir()
    with lock.open("w") as handle:
        handle.write("pid 1")
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        code, line = refused_late(folder)
    assert code == 10
    assert "another run (pid 1) is writing" in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--filter-by-year", "2020,20"), "expected years"),
        (("--require-schema-hash", "xyz"), "expected 16 hexadecimal digits"),
        (("--allow-partial", "--strict"), "not allowed with"),
    ],
)
def test_wrong_use(
    folder: Folder, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what would do."""
    with pytest.raises(SystemExit) as ended:
        folder.run("merge-chunks", *flags)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_no_folder_and_no_output(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder of the chunks is not there; the output cannot be a file."""
    code, line = refused(folder, capsys, "--chunks-dir", str(folder.root / "none"))
    assert code == 20
    assert "none: there is no such folder" in line
    code, line = refused(folder, capsys, "--output-dir", str(folder.manifest))
    assert code == 2
    assert "is not a folder" in line
    assert json.loads(folder.manifest.read_text())["version"] == "1.2.0"
