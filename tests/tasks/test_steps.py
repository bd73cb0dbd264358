"""One step at a time: the gate and the merge alone, a chunk that fails, data of another origin."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

from tests.tasks.commands import EVERYTHING, NOBODY, Home, dates_of, luigid, rewrite
from tests.tasks.conftest import RANGE

SECRET = "sk-very-secret-0123456789"


def edit(path: Path, **changes: object) -> None:
    """Change some fields of a JSON document."""
    rewrite(path, json.dumps(json.loads(path.read_text()) | changes).encode())


def test_merge_alone_needs_every_chunk_and_builds_none(built: Home, tmp_path: Path) -> None:
    """The missing one is named; exit code 20; nothing but logs is written."""
    home = built.copy(tmp_path / "output", "chunks")
    before = home.facts()
    ended = home.run("MergeChunks", "--start", "2024-02-01", "--end", "2024-09-30")
    assert ended.code == 20
    (line,) = ended.told
    assert "2024Q3" in line
    assert "does not exist" in line
    assert home.facts() == before


def test_the_gate_refuses_a_foreign_schema(built: Home, tmp_path: Path) -> None:
    """Chunk and column are named, nothing is merged, and the next run counts it as not complete."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    path = home.chunks.parquet_path("2024Q2")
    table = pq.read_table(path).drop_columns(["ret_prev_1d"])
    path.unlink()
    pq.write_table(table, path)
    edit(home.chunks.status_path("2024Q2"), parquet_bytes=path.stat().st_size, build_id="0" * 32)
    ended = home.run("MergeChunks")
    assert ended.code == 30
    (line,) = [line for line in ended.told if " error: " in line]
    assert "2024Q2" in line
    assert "ret_prev_1d" in line
    states = {chunk: status["state"] for chunk, status in home.statuses().items()}
    assert states == {"2024Q1": "completed", "2024Q2": "failed_schema_mismatch"}
    assert home.dataset_sha() == built.dataset_sha()
    assert home.run("MergeChunks").code == 20


@pytest.mark.slow
def test_one_failing_chunk_leaves_the_others_built(built: Home, tmp_path: Path) -> None:
    """A damaged part that only the second chunk reads: it fails, says why and what to do."""
    home = built.copy(tmp_path / "output", "cache")
    parts = (home.root / "cache/daily_bars/parts").glob("*.parquet")
    late = [part for part in parts if dates_of(part)[0] >= "2024-04-01"]
    assert late
    for part in late:
        rewrite(part, os.urandom(part.stat().st_size))
    ended = home.run("BuildAll", *RANGE, "--workers", "2")
    assert ended.code == 30
    (line,) = [line for line in ended.told if "error:" in line]
    assert "BuildChunk 2024Q2: snapshot part" in line
    statuses = home.statuses()
    assert statuses["2024Q1"]["state"] == "completed"
    assert statuses["2024Q2"]["state"] == "failed"
    error = statuses["2024Q2"]["error"]
    assert error["type"] == "StorageError"
    assert any(part.name in error["message"] for part in late)
    assert "delete" in error["hint"]
    assert home.dataset() is None


def test_chunks_of_another_origin_are_not_merged(built: Home, tmp_path: Path) -> None:
    """A chunk that says it holds real data does not count among simulated ones."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    edit(home.chunks.status_path("2024Q2"), origin="api")
    ended = home.run("MergeChunks")
    assert ended.code == 20
    (line,) = ended.told
    assert "made from origin api" in line
    assert home.dataset_sha() == built.dataset_sha()
    assert home.run("BuildAll", *RANGE, "--workers", "0").code == 25  # it is to be built again


def test_a_read_only_cache_serves_what_it_has(built: Home, tmp_path: Path) -> None:
    """Any part of the cached range, without a key and with no server to ask."""
    home = built.copy(tmp_path / "output", "cache").having(
        JQUANTS_API_KEY=None, JQUANTS_API_BASE=NOBODY
    )
    fetch = ("FetchSource", "--source", "daily_bars", "--g5-source-cache-mode", "read")
    assert home.run(*fetch, "--snapshot", "2024-02-13_2024-03-08").code == 0
    ended = home.run(*fetch, "--snapshot", "2024-02-13_2024-05-02")
    assert ended.code == 30
    (line,) = [line for line in ended.told if " error: " in line]
    assert "(2024-05-01, 2024-05-02)" in line


def test_a_cache_of_another_origin_is_as_good_as_empty(built: Home, tmp_path: Path) -> None:
    """Synthetic parts serve no run on real data: under the real address nothing is there."""
    home = built.copy(tmp_path / "output", *EVERYTHING).having(JQUANTS_API_BASE=None)
    before = home.facts()
    ended = home.run("BuildAll", *RANGE, "--g5-source-cache-mode", "read")
    assert ended.code == 20
    (line,) = ended.told
    assert "no trading calendar" in line
    assert home.facts() == before


@pytest.mark.slow
def test_the_key_is_written_nowhere(built: Home, tmp_path: Path) -> None:
    """A key the server refuses: exit code 30, and no trace of it in files, messages or luigid."""
    home = built.copy(tmp_path / "output", "cache").having(JQUANTS_API_KEY=SECRET)
    with luigid(tmp_path / "luigid") as url:
        ended = home.run(
            *("BuildAll", "--start", "2024-04-01", "--end", "2024-05-02"),
            scheduler=("--scheduler-url", url),
        )
        query = {"data": json.dumps({"status": "FAILED", "upstream_status": ""})}
        failed = requests.get(f"{url}/api/task_list", params=query, timeout=10).json()["response"]
        told = [json.dumps(failed)]
        for task in failed:
            query = {"data": json.dumps({"task_id": task})}
            told.append(requests.get(f"{url}/api/fetch_error", params=query, timeout=10).text)
    assert ended.code == 30
    assert failed
    assert any("403" in text for text in told)
    assert any("HTTP 403" in line for line in ended.told)
    texts = [*told, ended.out, *ended.told, *texts_below(tmp_path)]
    assert not [text for text in texts if SECRET in text]


def texts_below(folder: Path) -> list[str]:
    """Every file below a folder, as text of whatever sort."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


def test_task_processes_are_spawned_whatever_the_main_process_did(
    built: Home, tmp_path: Path
) -> None:
    """Pools and compiled kernels used before the start may hang a forked child for ever."""
    (tmp_path / "probe.py").write_text(PROBE)
    home = Home(tmp_path / "output", built.url, tmp_path).having(PYTHONPATH=_import_path(tmp_path))
    ended = home.run("Probe", "--module", "probe", "--workers", "2")
    assert ended.code == 0, ended.told
    assert (tmp_path / "probed.txt").read_text() == "spawn True [0, 1, 2, 3] 499500 20"


PROBE = """
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import luigi
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import pipeline.tasks
from pipeline.features.engine.window_kernels import window_mean

POOL = ThreadPoolExecutor(2)


def use_threads():
    numbers = list(POOL.map(abs, range(4)))
    table = pa.table({"a": list(range(1000))})
    means = window_mean(np.ones((2, 30)), 5, 3, 10)
    return f"{numbers} {pc.sum(table.sort_by('a')['a']).as_py()} {means.sum():g}"


class Probe(luigi.Task):
    def output(self):
        return luigi.LocalTarget("probed.txt")

    def complete(self):
        use_threads()
        return Path("probed.txt").exists()

    def run(self):
        own = multiprocessing.parent_process() is not None
        Path("probed.txt").write_text(
            f"{multiprocessing.get_start_method()} {own} {use_threads()}"
        )
"""


def _import_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
