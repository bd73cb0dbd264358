"""``g5 status``: everything that stands is shown, everything that is wrong is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import SchemaMismatch
from pipeline.filesystem import documents
from pipeline.operations.planning import output_state, run_plan
from tests.dataset.builders import build, clock, january, label, order, remember_calendar, rows
from tests.tasks.commands import until
from tests.terminal import terminal

FEBRUARY = [day.replace(month=2) for day in january(3, 4)]


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    """Two complete chunks, validated, merged and labelled."""
    store = ChunkStore(tmp_path, clock)
    build(store, "2020M01", rows(january(6, 7)))
    build(store, "2020M02", rows(FEBRUARY), run_id="run-2")
    validate(store)
    DatasetStore(tmp_path).merge(store, store.ids())
    label(store, tmp_path)
    return store


def validate(store: ChunkStore, **changes: Any) -> None:
    """Leave the report of a gate that passed."""
    report = {
        "run_id": "run-2",
        "generated_at": "2024-06-03T08:00:00Z",
        "manifest_version": "1.0.0",
        "sha256_verified": False,
        "schema_hash": run_plan.load_manifest().schema_hash,
        "passed": True,
        "inputs": output_state.builds(store, store.ids()),
        "chunks": [],
    }
    path = store.folder.parent / "validation" / "schema_validation.json"
    documents.write_document(path, "validation", report | changes)


def status(store: ChunkStore, *flags: str) -> int:
    return cli.main(["status", "--output", str(store.folder.parent), *flags])


def facts(store: ChunkStore, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON document, which says the exit code too."""
    code = status(store, "--json")
    (line,) = capsys.readouterr().out.splitlines()
    document: dict[str, Any] = json.loads(line)
    assert document["exit_code"] == code
    return document


def test_all_complete_is_nothing_to_do(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each chunk, then gate, dataset, labels and run."""
    assert status(store) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == [
        *("CHUNK", "STATE", "ROWS", "FIRST", "LAST", "AGE", "SCHEMA", "SIZE", "NOT", "COMPLETE")
    ]
    schema = store.read_status("2020M01")["schema_hash"]
    assert shown[1].split()[:5] == ["2020M01", "completed", "4", "2020-01-06", "2020-01-07"]
    assert schema[:8] in shown[1].split()
    assert schema not in shown[1]
    assert shown[4].endswith("origin simulator")
    assert shown[5].startswith("gate     passed")
    assert "ml_dataset_20200106_20200204" in shown[6]
    assert "8 rows, 2020-01-06 to 2020-02-04" in shown[6]
    assert shown[7] == "labels   for these very builds"
    assert "1 completed; none goes on" in shown[8]
    assert shown[9] == "nothing to do: 2 chunks complete, validated, merged and labelled"


def test_programs_read_every_fact(store: ChunkStore, capsys: pytest.CaptureFixture[str]) -> None:
    """One document on one line."""
    document = facts(store, capsys)
    chunk = document["chunks"][0]
    assert chunk == {
        **{"chunk_id": "2020M01", "state": "completed", "complete": True, "reason": None},
        **{"origin": "simulator", "rows": 4, "first": "2020-01-06", "last": "2020-01-07"},
        **{"built": "2024-06-03T08:00:00+00:00", "bytes": store.parquet_bytes("2020M01")},
        "schema_hash": store.read_status("2020M01")["schema_hash"],
    }
    assert document["dataset"]["rows"] == 8
    assert (document["gate"], document["merge"], document["writing_pid"]) == (None, None, None)
    assert document["run"]["chunks"] == {"completed": 1}


def _empty(store: ChunkStore) -> None:
    store.status_path("2020M01").write_bytes(b"")


def _truncated(store: ChunkStore) -> None:
    path = store.status_path("2020M01")
    path.write_bytes(path.read_bytes()[:-20])


def _foreign(store: ChunkStore) -> None:
    store.status_path("2020M01").write_text('{"foreign": true}')


def _unknown_state(store: ChunkStore) -> None:
    path = store.status_path("2020M01")
    path.write_text(path.read_text().replace('"completed"', '"finished"'))


def _of_another_chunk(store: ChunkStore) -> None:
    store.status_path("2020M01").write_bytes(store.status_path("2020M02").read_bytes())


def _no_rows(store: ChunkStore) -> None:
    store.parquet_path("2020M01").unlink()


def _zero_bytes(store: ChunkStore) -> None:
    store.parquet_path("2020M01").write_bytes(b"")


def _requested(store: ChunkStore) -> None:
    store.request_rebuild(["2020M01"], "test")


def _other_origin(store: ChunkStore) -> None:
    build(store, "2020M01", rows(january(6, 7)), origin="api")


def _failed(store: ChunkStore) -> None:
    with pytest.raises(RuntimeError), store.build(order("2020M01")):
        raise RuntimeError("out of luck")


def _refused(store: ChunkStore) -> None:
    with pytest.raises(SchemaMismatch), store.build(order("2020M01")):
        raise SchemaMismatch("chunk", ["extra column"])


@pytest.mark.parametrize(
    ("spoil", "state", "reason"),
    [
        (_empty, "unreadable", "is empty"),
        (_truncated, "unreadable", "is not JSON, perhaps cut off"),
        (_foreign, "unreadable", "does not fit its schema"),
        (_unknown_state, "unreadable", "'finished' is not one of"),
        (_of_another_chunk, "unreadable", "belongs to chunk 2020M02"),
        (_no_rows, "completed", "the Parquet file is missing"),
        (_zero_bytes, "completed", "the Parquet file has 0 bytes, recorded"),
        (_requested, "completed", "a rebuild was requested"),
        (_other_origin, "completed", "made from origin"),
        (_failed, "failed", "failed: RuntimeError: out of luck"),
        (_refused, "failed_schema_mismatch", "extra column"),
    ],
)
def test_a_chunk_that_is_not_complete_says_why(
    store: ChunkStore, spoil: Any, state: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Work to do, the other chunk as before."""
    spoil(store)
    document = facts(store, capsys)
    assert document["exit_code"] == 3
    first, second = document["chunks"]
    wrong = first if first["reason"] else second
    assert reason in wrong["reason"]
    assert wrong["state"] == state
    assert status(store) == 3
    assert "work to do: 1 of 2 chunks not complete" in capsys.readouterr().out


def test_a_gate_or_dataset_of_other_builds_is_work(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One chunk was built again since: both are due, and say so."""
    build(store, "2020M02", rows(FEBRUARY))
    document = facts(store, capsys)
    assert document["gate"] == "made before the present build of 2020M02"
    assert document["merge"] == document["labels"] == document["gate"]
    validate(store)
    document = facts(store, capsys)
    assert (document["gate"], document["exit_code"]) == (None, 3)
    validate(store, passed=False)
    assert facts(store, capsys)["gate"] == "failed"


def test_a_dataset_that_is_gone_or_damaged_is_work(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason a merge would give."""
    dataset = DatasetStore(store.folder.parent)
    latest = dataset.latest()
    assert latest is not None
    latest.path.unlink()
    document = facts(store, capsys)
    assert "which is gone" in document["merge"]
    assert (document["dataset"], document["exit_code"]) == (None, 3)
    dataset.latest_path.unlink()
    assert facts(store, capsys)["merge"] == "nothing is merged yet"


def test_labels_that_are_missing_or_damaged_are_work(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunks, gate and dataset are as they should be, and the exit code still says 3."""
    labels = LabelStore(store.folder.parent)
    content = labels.part_path("2020M02").read_bytes()
    labels.part_path("2020M02").write_bytes(content[:-1])
    document = facts(store, capsys)
    assert (document["merge"], document["exit_code"]) == (None, 3)
    assert document["labels"] == "the file of 2020M02 is missing or of another size"
    labels.part_path("2020M02").write_bytes(content)
    assert facts(store, capsys)["labels"] is None
    labels.document_path.write_bytes(b"{")
    assert "labels.json" in facts(store, capsys)["labels"]
    labels.document_path.unlink()
    assert facts(store, capsys)["labels"] == "never made"
    assert status(store) == 3
    shown = capsys.readouterr().out.splitlines()
    assert "labels   due: never made" in shown
    assert shown[-1] == "work to do: 2 chunks complete, not all validated, merged and labelled"


def test_labels_that_sessions_have_overtaken_are_work(
    store: ChunkStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """January was labelled when there was no February: with a calendar that is known."""
    root = store.folder.parent
    sessions = [*january(6, 7), *FEBRUARY]
    labels = LabelStore(root)
    document = labels.read_document()
    for part in document["parts"]:
        part["known_to"] = "2020-01-31"
    documents.write_document(labels.document_path, "labels", document)
    assert facts(store, capsys)["labels"] is None  # the cache has no calendar
    remember_calendar(root, sessions)
    document = facts(store, capsys)
    assert document["labels"] == "sessions have come since for 2020M01, 2020M02"
    assert document["exit_code"] == 3


def test_without_chunks_nothing_can_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No folder, an empty one, one with stray files only, one that is a file."""
    chunks = tmp_path / "chunks"
    for prepare in (
        lambda: None,
        chunks.mkdir,
        lambda: (chunks / "notes.txt").write_text("stray"),
        lambda: (chunks / "2020X9").mkdir(),
    ):
        prepare()
        assert status(ChunkStore(tmp_path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"g5 status: error: no chunk in {chunks}")
    assert status(ChunkStore(tmp_path / "chunks" / "notes.txt")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "notes.txt" in line


def test_stray_files_are_passed_over(store: ChunkStore, capsys: pytest.CaptureFixture[str]) -> None:
    """They are nobody's chunks."""
    (store.folder / "notes.txt").write_text("stray")
    (store.folder / "backup").mkdir()
    assert facts(store, capsys)["exit_code"] == 0


def test_watching_goes_on_until_interrupted(store: ChunkStore) -> None:
    """One document a line, each of the moment."""
    command = [sys.executable, "-m", "pipeline.cli", "status", "--watch", "--every", "0.1"]
    command += ["--json", "--output", str(store.folder.parent)]
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("G5_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=inherited
    ) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["exit_code"] == 0
            store.request_rebuild(["2020M01"], "test")
            while json.loads(process.stdout.readline())["exit_code"] != 3:
                pass
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in told


def test_watching_on_a_terminal_draws_in_place(store: ChunkStore, tmp_path: Path) -> None:
    """Again and again, without a trace of the times before; Ctrl-C ends it."""
    g5 = Path(sys.executable).with_name("g5")
    command = f"{g5} status --watch --every 0.2 --output {store.folder.parent}"
    with terminal(command, tmp_path, os.environ, tmp_path / "tmux") as screen:
        until(lambda: "nothing to do: 2 chunks complete" in screen.shown())
        store.request_rebuild(["2020M01"], "test")
        until(lambda: "work to do: 1 of 2 chunks not complete" in screen.shown())
        assert screen.shown().count("CHUNK") == 1
        subprocess.run([*screen.tmux, "send-keys", "C-c"], check=True, timeout=30)
        until(lambda: "ended with 130" in screen.shown())
