"""Progress in words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.operations.runs.progress_report import Reporter, progress_line


@pytest.mark.parametrize(
    ("done", "total", "seconds", "message"),
    [
        (0, 590, 0.0, "index option: 0 of 590 days"),
        (312, 590, 39.0, "index option: 312 of 590 days, 8.0 days/s, 35 s left"),
        (10, 1590, 10.0, "index option: 10 of 1,590 days, 1.0 days/s, 26 min left"),
        (590, 590, 72.04, "index option: 590 of 590 days, 72.0 s in all"),
        (1, 2, 0.0, "index option: 1 of 2 days, 1000000000.0 days/s, 0 s left"),
    ],
)
def test_how_far_how_fast_and_how_long(done: int, total: int, seconds: float, message: str) -> None:
    """At the pace so far."""
    line = progress_line("index option", "days", done, total, seconds)
    assert line == message


def test_the_page_gets_percent_and_an_escaped_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the place of the log; outside a worker there is no page, and nothing happens."""
    monkeypatch.setenv("G5_LOG_DIR", "/data/<a> & b/logs")
    shown: dict[str, object] = {}
    task = SimpleNamespace(
        set_progress_percentage=lambda percent: shown.update(percent=percent),
        set_status_message=lambda message: shown.update(message=message),
    )
    report = Reporter(task, "merge", "MB")
    report(0, 8)
    assert shown["percent"] == 0
    report(8, 8)
    assert shown["percent"] == 100
    assert str(shown["message"]).endswith("; log /data/&lt;a&gt; &amp; b/logs/g5.log")
    idle = SimpleNamespace(set_progress_percentage=None, set_status_message=None)
    Reporter(idle, "merge", "MB")(1, 1)
