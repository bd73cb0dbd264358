"""Watching a run in a browser: a real luigid, a slow vendor, and what people see and send."""

from __future__ import annotations

import json
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from pipeline.run_state.history import RunHistory
from tests.browser import keep, page
from tests.tasks.commands import FEW_SOURCES, NOBODY, Home, simulator, until

MARKET = ("--stocks", "4", "--start", "2024-01-04", "--end", "2024-06-28")
RANGE = ("--start", "2024-01-04", "--end", "2024-06-28")
DAYS = 120  # sessions of the range
#: One source that is asked day by day is enough to watch.
ONE_SOURCE = {
    "UNAVAILABLE_SOURCES": f"{FEW_SOURCES['UNAVAILABLE_SOURCES']},topix,fin_summary",
    "SOURCE_ROUTE": "requests",
    "INDEX_OPTION_PARALLEL_CONCURRENCY": "1",
}
_WITHIN_MS = 60_000


class Luigid:
    """A luigid of an output root, and its API."""

    def __init__(self, home: Home, url: str) -> None:
        self.home = home
        self.url = url
        self.page = f"{url}/static/visualiser/index.html"

    def tasks(self, status: str) -> dict[str, dict[str, Any]]:
        query = {"data": json.dumps({"status": status, "upstream_status": ""})}
        answer = requests.get(f"{self.url}/api/task_list", params=query, timeout=30).json()
        found: dict[str, dict[str, Any]] = answer["response"]
        return found

    def progress(self) -> int:
        """Of the fetch that runs; 0 while none does."""
        return max(
            (t["progress_percentage"] or 0 for t in self.tasks("RUNNING").values()), default=0
        )


@pytest.fixture
def luigid(tmp_path: Path) -> Iterator[Luigid]:
    """Started as people start it, in the background; stopped with the test at the latest."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    home = Home(tmp_path / "out put", NOBODY, tmp_path, dict(ONE_SOURCE))
    started = home.g5("luigid", "--background", "--port", port)
    assert started.code == 0, started.told
    try:
        yield Luigid(home, f"http://127.0.0.1:{port}")
    finally:
        home.g5("luigid", "--stop")


def test_a_run_is_watched_told_and_stopped_from_the_page(luigid: Luigid) -> None:
    """List, graph and moving progress; orders are obeyed and answered; the error can be read."""
    again = luigid.home.g5("luigid", "--background")
    assert "already running" in again.out
    assert luigid.url in again.out
    with simulator(*MARKET, "--latency-ms", "1500") as url, page(1280, 900) as tab:
        tab.route(lambda asked: not asked.startswith(luigid.url), lambda route: route.abort())
        home = Home(luigid.home.root, url, luigid.home.folder, luigid.home.environment)
        with home.start("BuildAll", *RANGE, scheduler=("--scheduler-url", luigid.url)) as process:
            until(lambda: luigid.progress() > 0)
            _list_and_graph(tab, luigid)
            _progress_moves(tab, luigid)
            assert "expected stop, or concurrency=N" in _send(tab, "faster <b>please</b>")
            assert "up to 2 requests at a time" in _send(tab, "concurrency=2")
            assert "stopping" in _send(tab, "stop")
            until(lambda: luigid.tasks("FAILED"))
            (failed,) = luigid.tasks("FAILED").values()
            source = failed["params"]["source"]
            _error_is_read(tab, luigid, f"of {DAYS} days (they are kept")
            process.terminate()  # or the other sources would follow
            _, told = process.communicate(timeout=60)
    assert process.returncode == 143
    (line,) = [line for line in told.splitlines() if "error:" in line]
    stopped = re.search(rf"FetchSource {source}: stopped on request after (\d+) of {DAYS}", line)
    assert stopped, line
    (record,) = RunHistory(home.root).records()
    assert record["outcome"] == "stopped"
    assert record["error"] in line
    assert record["requests"][source] >= int(stopped[1])
    kept = [
        p for p in (home.root / "cache" / source).rglob("*") if p.suffix in {".arrow", ".parquet"}
    ]
    assert kept, "the days that came are kept, each by itself or as a month"
    metrics = requests.get(f"{luigid.url}/metrics", timeout=30).text
    assert 'luigi_task_failed_total{family="FetchSource"} 1.0' in metrics
    assert 'g5_run_outcome{outcome="stopped"} 1' in (home.root / "run/metrics/g5.prom").read_text()
    _ends_with_its_state(luigid)


def _list_and_graph(tab: Page, luigid: Luigid) -> None:
    """Every task by family and parameters; the graph from the root down to the sources."""
    tab.goto(luigid.page)
    expect(tab.locator("#taskTable")).to_contain_text("chunk=2024Q2", timeout=_WITHIN_MS)
    families = tab.inner_text("#familySidebar")
    for family in ("BuildAll", "BuildChunk", "FetchSource", "MergeChunks", "ValidateSchema"):
        assert family in families
    listed = tab.inner_text("#taskTable")
    assert '{"jquants_api":1}' in listed
    (root,) = [task for task in luigid.tasks("PENDING") if task.startswith("BuildAll")]
    keep(tab, "luigid-list")
    tab.goto(f"{luigid.page}#tab=graph&taskId={root}")
    tab.reload()
    expect(tab.locator("#graphPlaceholder")).to_contain_text("FetchSource", timeout=_WITHIN_MS)
    keep(tab, "luigid-graph")


def _progress_moves(tab: Page, luigid: Luigid) -> None:
    """The bar of the fetch, and its message with numbers, pace and the log's place."""
    tab.goto(f"{luigid.page}#tab=workers")
    tab.reload()
    bar = tab.locator("#workerList .taskProgressBar")
    expect(bar).to_have_count(1, timeout=_WITHIN_MS)
    tab.locator("#workerList .statusMessage").click()
    message = tab.locator("#statusMessageModal pre")
    pace = re.compile(r": \d+ of 120 days, [\d.]+ days/s, \d+ (s|min) left; log .*out put/logs/g5")
    expect(message).to_have_text(pace, timeout=_WITHIN_MS)
    before = message.inner_text()
    shown = bar.inner_text()
    expect(message).not_to_have_text(before, timeout=_WITHIN_MS)  # the window renews itself
    expect(bar).not_to_have_text(shown, timeout=_WITHIN_MS)
    keep(tab, "luigid-progress")
    tab.locator("#statusMessageModal [data-dismiss=modal]").first.click()
    expect(tab.locator("#statusMessageModal")).to_be_hidden()


def _send(tab: Page, text: str) -> str:
    """Send a message to the running fetch as people do; its answer."""
    tab.locator("#workerList .schedulerMessage").click()
    tab.fill("#schedulerMessageInput", text)
    tab.check("#schedulerMessageAwaitResponse")
    tab.click("#schedulerMessageButton")
    answer = tab.locator("#schedulerMessageResponse pre div")
    expect(answer).not_to_be_empty(timeout=_WITHIN_MS)
    said = answer.inner_text()
    tab.locator("#schedulerMessageModal [data-dismiss=modal]").first.click()
    expect(tab.locator("#schedulerMessageModal")).to_be_hidden()
    return said


def _error_is_read(tab: Page, luigid: Luigid, words: str) -> None:
    """In the list, behind the button of the failed task."""
    tab.goto(luigid.page)
    tab.reload()
    tab.locator("#taskTable .showError").first.click(timeout=_WITHIN_MS)
    expect(tab.locator("#errorModal")).to_contain_text(words, timeout=_WITHIN_MS)
    keep(tab, "luigid-error")


def _ends_with_its_state(luigid: Luigid) -> None:
    """The next start knows what was; nobody else may write it."""
    folder = luigid.home.root / "run" / "luigid"
    ended = luigid.home.g5("luigid", "--stop")
    assert ended.code == 0
    assert "its state is saved" in ended.out
    assert stat.S_IMODE((folder / "state.pickle").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert luigid.home.g5("luigid", "--stop").code == 20
    (folder / "state.pickle").chmod(0o666)
    refused = luigid.home.g5("luigid", "--background", "--port", luigid.url.rpartition(":")[2])
    assert refused.code == 30
    assert "others could have written it" in refused.told[0]
