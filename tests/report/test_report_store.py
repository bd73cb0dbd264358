"""Reports on disk: whole or absent, the newest few, each with the facts for the next one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StorageError
from pipeline.report.report_facts import kept
from pipeline.report.report_store import ReportStore
from tests.report.synthetic import facts

MOMENT = dt.datetime(2025, 1, 6, 0, 10, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> ReportStore:
    """An output root without reports, on which it is always the same moment."""
    return ReportStore(tmp_path, lambda: MOMENT)


def document(**changes: object) -> dict[str, Any]:
    return kept(facts(2)) | changes


def test_what_is_written_is_the_latest(store: ReportStore) -> None:
    """Page, facts, link and receipt belong together."""
    assert store.latest() is None
    report = store.write("<!doctype html>日本", document())
    assert report.path.name == "report_20250106T001000Z.html"
    assert store.latest() == report
    assert store.latest_path.read_text("utf-8") == "<!doctype html>日本"
    assert report.receipt["inputs"] == document()["inputs"]
    assert store.earlier("simulator") == document()
    assert store.earlier("api") is None


def test_the_newest_remain_and_names_follow_time(store: ReportStore) -> None:
    """Each page goes with its facts; what is not a report stays."""
    stray = store.folder / "notes.html"
    store.write("0", document())
    stray.write_text("mine")
    for at in range(1, 13):
        store.write(str(at), document(rows=at), keep=3)
    names = sorted(path.name for path in store.folder.glob("report_*"))
    assert len(names) == 6
    pages = [path.read_text() for path in sorted(store.folder.glob("report_*.html"))]
    assert pages == ["10", "11", "12"]
    newest = store.earlier("simulator")
    assert newest is not None
    assert newest["rows"] == 12
    assert stray.exists()


def test_a_report_that_is_not_whole_is_none(store: ReportStore) -> None:
    """Cut off, gone, or not what the link shows: the next one is made anew."""
    first = store.write("first", document())
    store.receipt_path.write_bytes(store.receipt_path.read_bytes()[:-20])
    assert store.latest() is None
    second = store.write("second", document())
    assert store.latest() == second
    second.path.write_text("sec")
    assert store.latest() is None
    third = store.write("third", document())
    store.latest_path.unlink()
    store.latest_path.symlink_to(first.path.name)
    assert store.latest() is None
    store.latest_path.unlink()
    store.latest_path.symlink_to(third.path.name)
    assert store.latest() == third


def test_damaged_facts_are_passed_over(store: ReportStore) -> None:
    """The next report then compares itself with the one before."""
    store.write("first", document(rows=1))
    second = store.write("second", document(rows=2))
    second.path.with_suffix(".json").write_text("{")
    found = store.earlier("simulator")
    assert found is not None
    assert found["rows"] == 1


def test_malformed_facts_are_refused(store: ReportStore) -> None:
    """And the latest report stays what it was."""
    report = store.write("first", document())
    with pytest.raises(StorageError, match="does not fit its schema"):
        store.write("second", document(rows=-1))
    assert store.latest() == report
