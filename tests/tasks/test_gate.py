"""The gate in a run: what it looks at beyond the columns, what it marks and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.tasks.commands import EVERYTHING, ONE_PROCESS, Home, rewrite
from tests.tasks.test_steps import edit


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


def report(home: Home) -> dict[str, object]:
    return json.loads((home.root / "validation" / "schema_validation.json").read_text())


def test_a_build_from_the_simulator_has_no_warnings(built: Home) -> None:
    """Rows are those of the listing records, values finite and in their ranges."""
    told = report(built)
    assert told["passed"]
    assert not told["sha256_verified"]
    assert [chunk["warnings"] for chunk in told["chunks"]] == [[], []]
    for chunk in built.chunks.ids():
        assert built.chunks.metadata(chunk)["warnings"] == []


def test_a_changed_byte_shuts_the_gate_on_request(built: Home, tmp_path: Path) -> None:
    """A report that did not read the files is not enough then; the chunk is marked and named."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    path = home.chunks.parquet_path("2024Q2")
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1  # amid the values of some feature
    rewrite(path, content)
    ended = home.run("ValidateSchema", "--verify-sha256")
    assert ended.code == 30
    line = ended.told[-1]
    assert "2024Q2" in line
    assert "sha256 differs" in line
    states = {chunk: status["state"] for chunk, status in home.statuses().items()}
    assert states == {"2024Q1": "completed", "2024Q2": "failed_schema_mismatch"}
    told = report(home)
    assert [chunk["passed"] for chunk in told["chunks"]] == [True, False]


def test_two_chunks_with_the_same_dates_shut_the_gate(built: Home, tmp_path: Path) -> None:
    """Both stay completed: neither is at fault alone, and rebuilding would mend nothing."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    folder = home.chunks.folder
    shutil.copytree(folder / "2024Q1", folder / "2024M03")
    for name in ("status.json", "metadata.json"):
        edit(folder / "2024M03" / name, chunk_id="2024M03")
    ended = home.run("MergeChunks")
    assert ended.code == 30
    line = ended.told[-1]
    assert "hold the same dates" in line
    assert "2024M03" in line
    assert "2024Q1" in line
    assert {status["state"] for status in home.statuses().values()} == {"completed"}
    assert home.dataset_sha() == built.dataset_sha()


def test_warnings_shut_the_gate_when_they_are_to(built: Home, tmp_path: Path) -> None:
    """Otherwise they stand in the report. Without a cache there is no calendar, which is said."""
    home = built.copy(tmp_path / "output", "chunks")
    edit(home.chunks.metadata_path("2024Q1"), warnings=["more nulls than before"])
    passed = home.run("ValidateSchema")
    assert passed.code == 0, passed.told
    assert any("no trading calendar in the cache" in line for line in passed.told)
    assert any("chunk 2024Q1: more nulls than before" in line for line in passed.told)
    assert report(home)["chunks"][0]["warnings"] == ["more nulls than before"]
    ended = home.run("MergeChunks", "--ValidateSchema-fail-on-warning", "true")
    assert ended.code == 30
    assert any("content count (1), first chunk 2024Q1" in line for line in ended.told)
    assert home.dataset() is None
    assert {status["state"] for status in home.statuses().values()} == {"completed"}


def test_every_row_has_its_listing_record(built: Home) -> None:
    """The number of rows counted by hand in the snapshot of the listing records."""
    status = built.chunks.read_status("2024Q2")
    rows = pq.read_table(built.chunks.parquet_path("2024Q2"), columns=["Date", "Code"])
    (key,) = (key for key in status["inputs"] if key.startswith("listed_raw_"))
    snapshot = json.loads((built.root / "cache" / "listed" / f"{key}.json").read_text())
    expected = set()
    for part in snapshot["parts"]:
        path = built.root / "cache" / "listed" / "parts" / part["file"]
        for record in pq.read_table(path).to_pylist():
            ordinary = record["Code"][4] == "0" and record["S33"] not in ("9999", None, "")
            if ordinary and record["Mkt"] in {"0111", "0112", "0113"}:
                expected.add((record["Date"], record["Code"]))
    found = {(row["Date"], row["Code"]) for row in rows.to_pylist()}
    days = {day for day, _ in found}
    assert found == {(day, code) for day, code in expected if day in days}
