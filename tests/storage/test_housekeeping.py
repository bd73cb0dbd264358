"""Pruning: nothing that a snapshot lists, nothing fresh, and no more than was announced."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from pipeline.errors import MissingData, UsageError
from pipeline.storage import housekeeping
from pipeline.storage.parts import Selection
from pipeline.storage.snapshots import SnapshotStore
from pipeline.storage.spool import Spool
from tests.storage.test_snapshots import SOURCE, at, commit, put, rows

CUTOFF = at("2024-06-15")


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path, "api")


def kinds(store: SnapshotStore, cutoff: str = CUTOFF) -> list[tuple[str, str]]:
    return [(item.kind, item.path.name) for item in housekeeping.removable(store.root, cutoff)]


def test_an_old_snapshot_goes_and_its_own_parts_with_it(store: SnapshotStore) -> None:
    """What it shares with one that stays, stays; what a newer part holds too goes."""
    shared = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    own = put(store, "2024-06-03", {"2024-06-03": 1.0}, "2024-06-04")
    newer = put(store, "2024-06-03", {"2024-06-03": 1.5}, "2024-06-05")
    whole = [Selection(part, part.days) for part in (shared, own)]
    old = store.commit(
        SOURCE, f"{SOURCE}_raw_2024-05-01_2024-06-04", whole, date_field="Date",
        start=day("2024-05-01"), end=day("2024-06-04"), asof=None, tag=None,
        checked_at=at("2024-06-04"), client_version="1",
    )  # fmt: skip
    new = commit(store, whole[:1], checked_at=at("2024-06-20"))
    assert [kind for kind, _ in kinds(store)] == ["snapshot", "part", "part"]
    housekeeping.remove(housekeeping.removable(store.root, CUTOFF))
    assert store.find(SOURCE, old["key"]) is None
    assert store.find(SOURCE, new["key"]) == new
    assert store.parts(SOURCE) == [shared, newer]
    assert kinds(store) == []


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def test_pinned_and_newest_snapshots_stay_however_old(store: SnapshotStore) -> None:
    """A tag, an as-of day, or being the last one of the source."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    whole = [Selection(part, part.days)]
    commit(store, whole, tag="v1", checked_at=at("2024-06-02"))
    commit(store, whole, asof=day("2024-06-02"), checked_at=at("2024-06-02"))
    commit(store, whole, checked_at=at("2024-06-03"))
    assert kinds(store, at("2025-01-01")) == []


def test_a_superseded_part_stays_while_it_is_fresh(store: SnapshotStore) -> None:
    """Also one that was lately found unchanged."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    put(store, "2024-05", {"2024-05-01": 1.5}, "2024-06-21")
    store.note_unchanged(SOURCE, part, ["2024-05-01"], at("2024-06-20"))
    assert kinds(store) == []
    assert len(kinds(store, at("2024-06-21"))) == 2


def test_what_the_cache_knows_of_a_day_is_never_lost(store: SnapshotStore) -> None:
    """No snapshot lists it, it is years old, and still it need not be asked for again."""
    part = put(store, "2019-05", {"2019-05-01": 1.0}, "2019-06-01")
    piece = store.add(SOURCE, "all", [], rows({"2019-05-01": 1.0}), fetched_at=at("2019-06-01"))
    assert kinds(store) == []
    assert store.parts(SOURCE) == sorted([part, piece], key=lambda part: part.file)


def test_fragments_and_damaged_files_go(store: SnapshotStore) -> None:
    """A part without a note, a note without its part, a snapshot that is none."""
    part = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-20")
    folder = store.root / SOURCE / "parts"
    (folder / "2024-04-api-x.parquet").write_bytes(b"PAR1")
    (folder / part.file).write_bytes(b"")
    (store.root / SOURCE / "broken.json").write_text("{")
    assert sorted(kind for kind, _ in kinds(store)) == ["fragment", "fragment", "part", "snapshot"]


def test_the_spool_is_swept_by_age(store: SnapshotStore) -> None:
    """Days and downloads that no run took up."""
    spool = Spool(store.spool_folder(SOURCE), "api")
    spool.put("2024-06-03", rows({"2024-06-03": 1.0}), arrived=at("2024-06-04"), route="requests")
    spool.put("2024-06-17", rows({"2024-06-17": 1.0}), arrived=at("2024-06-18"), route="requests")
    old, new = (spool.folder / name for name in ("2024-05-1.csv.gz.partial", "2024-05-2.csv.gz"))
    for path, moment in ((old, 1_700_000_000), (new, 1_800_000_000)):
        path.write_bytes(b"x")
        os.utime(path, (moment, moment))
    found = kinds(store)
    assert [kind for kind, _ in found] == ["spool", "spool"]
    assert {name[:10] for _, name in found} == {"2024-06-03", "2024-05-1."}


def test_a_key_is_checked_before_it_touches_a_path(store: SnapshotStore) -> None:
    """Keys come from the command line."""
    with pytest.raises(UsageError, match="expected SOURCE_raw_START_END"):
        housekeeping.find(store.root, "../../etc/passwd_raw_2024-01-01_2024-01-02")
    with pytest.raises(MissingData, match="g5 cache list"):
        housekeeping.find(store.root, "listed_raw_2024-01-01_2024-01-02")


def test_an_empty_cache_has_nothing_to_remove(tmp_path: Path) -> None:
    """Nor anything to list."""
    assert housekeeping.removable(tmp_path / "cache", CUTOFF) == []
    assert housekeeping.snapshots(tmp_path / "cache") == []
