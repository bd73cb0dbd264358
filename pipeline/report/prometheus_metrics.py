"""Numbers of the latest run and of what stands, as Prometheus reads them.

For the textfile collector of node_exporter: a run is over when Prometheus comes to ask, so its
numbers lie in a file. Moments are seconds since the epoch; an age is ``time()`` minus one of them.
Written by hand: the client library takes longer to import than a run without work may take to end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

_OUTCOMES = ("done", "nothing", "failed", "stopped")
_STATES = ("building", "completed", "failed", "failed_schema_mismatch")
_JST = dt.timezone(dt.timedelta(hours=9))
_CLOSE = dt.timedelta(hours=15, minutes=30)  # of a Tokyo session
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def text(
    run: Mapping[str, Any], chunks: Mapping[str, int], dataset: Mapping[str, Any] | None
) -> bytes:
    """The content of the file.

    Args:
        run: the record of a run that has ended.
        chunks: how many are in which state.
        dataset: metadata of the published one; None without one.
    """
    return "".join(f"{line}\n" for line in _lines(run, chunks, dataset)).encode()


def _lines(
    run: Mapping[str, Any], chunks: Mapping[str, int], dataset: Mapping[str, Any] | None
) -> Iterator[str]:
    began, ended = (dt.datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    rows = sum(chunk["rows"] or 0 for chunk in run["chunks"] if chunk["state"] == "completed")
    outcomes = {name: int(name == run["outcome"]) for name in _OUTCOMES}
    states = dict.fromkeys(_STATES, 0) | dict(chunks)
    yield from _one("run_ended_timestamp_seconds", "End of the latest run.", ended.timestamp())
    yield from _one("run_duration_seconds", "Of the latest run.", (ended - began).total_seconds())
    yield from _one("run_exit_code", "Of the latest run.", run["exit_code"])
    yield from _by("run_outcome", "1 for that of the latest run.", "outcome", outcomes)
    yield from _one("run_rows", "In the chunks that the latest run built.", rows)
    yield from _one("run_peak_rss_bytes", "Memory at most.", run["peak_rss_bytes"] or 0)
    yield from _by("run_requests", "Sent by the latest run.", "source", run["requests"])
    yield from _by("chunks", "On disk.", "state", states)
    if dataset is None:
        return
    merged = dt.datetime.fromisoformat(dataset["generated_at"]).timestamp()
    yield from _one("dataset_rows", "Of the published dataset.", dataset["rows"])
    yield from _one("dataset_merged_timestamp_seconds", "When it was merged.", merged)
    if dataset["output_end"] is not None:
        last = dt.datetime.fromisoformat(dataset["output_end"]).replace(tzinfo=_JST) + _CLOSE
        name, what = "dataset_last_session_timestamp_seconds", "End of its last session."
        yield from _one(name, what, last.timestamp())


def _one(name: str, what: str, value: float) -> Iterator[str]:
    yield from _head(name, what)
    yield f"g5_{name} {value:.15g}"


def _by(name: str, what: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    yield from _head(name, what)
    for of, value in values.items():
        yield f'g5_{name}{{{label}="{of.translate(_ESCAPED)}"}} {value:.15g}'


def _head(name: str, what: str) -> Iterator[str]:
    yield f"# HELP g5_{name} {what}"
    yield f"# TYPE g5_{name} gauge"
