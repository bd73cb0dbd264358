"""Taking back rebuild requests: only those nobody answered, and nothing else changes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.dataset import rebuild_requests
from pipeline.dataset.chunk_store import ChunkStore
from tests.dataset.builders import build, clock, january, order, rows

FIRST, LAST = dt.date(2020, 1, 1), dt.date(2020, 3, 31)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    """One complete chunk that answered a request."""
    store = ChunkStore(tmp_path, clock)
    store.request_rebuild(["2020Q1"], "first")
    build(store, "2020Q1", rows(january(6, 7)))
    return store


def why(store: ChunkStore) -> str | None:
    return store.why_not_complete("2020Q1", origin="simulator", first=FIRST, last=LAST)


def test_a_chunk_whose_request_is_taken_back_is_complete_again(store: ChunkStore) -> None:
    """With the build it had."""
    before = store.status_path("2020Q1").read_bytes()
    store.request_rebuild(["2020Q1"], "second")
    assert why(store) == "a rebuild was requested"
    assert rebuild_requests.pending(store, ["2020Q1"]) == ["2020Q1"]
    assert rebuild_requests.withdraw(store, ["2020Q1"]) == ["2020Q1"]
    assert why(store) is None
    assert store.status_path("2020Q1").read_bytes() == before


def test_an_answered_request_stays(store: ChunkStore) -> None:
    """It is the record of why the build was made."""
    assert rebuild_requests.withdraw(store, ["2020Q1"]) == []
    assert store.rebuild_path("2020Q1").exists()


def test_a_request_that_cannot_be_read_as_one_is_taken_back_too(store: ChunkStore) -> None:
    """It would cause a build like any other."""
    store.rebuild_path("2020Q1").write_text("{}")
    assert rebuild_requests.withdraw(store, ["2020Q1"]) == ["2020Q1"]
    assert why(store) is None


def test_a_failed_build_does_not_answer(store: ChunkStore) -> None:
    """The request waits for a build that succeeds."""
    store.request_rebuild(["2020Q1"], "second")
    with pytest.raises(RuntimeError), store.build(order("2020Q1")):
        raise RuntimeError("no")
    assert rebuild_requests.pending(store, ["2020Q1"]) == ["2020Q1"]
