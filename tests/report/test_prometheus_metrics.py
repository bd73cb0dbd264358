"""Numbers for Prometheus, read back by its own parser."""

from __future__ import annotations

import datetime as dt

from prometheus_client.parser import text_string_to_metric_families

from pipeline.report import prometheus_metrics
from tests.dataset.builders import documents

ENDED = "2024-06-03T08:01:30+09:00"


def numbers(text: bytes) -> dict[str, float]:
    """Values by name, with the value of the label if there is one."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_latest_run_and_what_stands_are_told() -> None:
    """Outcome, duration, requests, chunks by state, and the moments an age is counted from."""
    run = documents()["run"] | {"finished_at": ENDED, "peak_rss_bytes": 4_123_456_789}
    chunk = {"chunk_id": "2020Q1", "state": "completed", "rows": 7, "seconds": 1, "bytes": 2}
    run["chunks"] = [chunk, *run["chunks"]]
    dataset = documents()["dataset_metadata"]
    found = numbers(prometheus_metrics.text(run, {"completed": 19, "unreadable": 1}, dataset))
    assert found["g5_run_ended_timestamp_seconds"] == dt.datetime.fromisoformat(ENDED).timestamp()
    assert found["g5_run_duration_seconds"] == 90
    assert found["g5_run_exit_code"] == 30
    assert found["g5_run_outcome failed"] == 1
    assert found["g5_run_outcome done"] == 0
    assert found["g5_run_rows"] == 7
    assert found["g5_run_peak_rss_bytes"] == 4_123_456_789
    assert found["g5_run_requests daily_bars"] == 3
    assert found["g5_chunks completed"] == 19
    assert found["g5_chunks failed"] == 0
    assert found["g5_chunks unreadable"] == 1
    assert found["g5_dataset_rows"] == 2
    close = dt.datetime(2020, 3, 31, 6, 30, tzinfo=dt.UTC)
    assert found["g5_dataset_last_session_timestamp_seconds"] == close.timestamp()


def test_without_a_dataset_nothing_is_said_of_it() -> None:
    """A label with quotes and line ends stays one."""
    run = documents()["run"] | {"finished_at": ENDED, "requests": {'a"b\\c\nd': 1}}
    found = numbers(prometheus_metrics.text(run, {}, None))
    assert found['g5_run_requests a"b\\c\nd'] == 1
    assert not [name for name in found if name.startswith("g5_dataset")]
