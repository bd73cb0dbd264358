"""Pruning: nothing that a snapshot lists, nothing fresh, and no more than was announced."""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.cache import pruning
from pipeline.cache.parts import Part, Selection, parts_in
from pipeline.cache.snapshots import SnapshotStore
from pipeline.cache.spool import Spool
from pipeline.errors import MissingData, StorageError, UsageError
from pipeline.filesystem import documents
from tests.cache.test_snapshots import SOURCE, at, commit, put, rows

CUTOFF = at("2024-06-15")
LONG_AGO = at("2000-01-01")
FAR = at("2030-01-01")


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path, "api")


def kinds(store: SnapshotStore, cutoff: str = CUTOFF) -> list[tuple[str, str]]:
    return [(item.kind, item.path.name) for item in pruning.removable(store.root, cutoff)]


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
    pruning.remove(pruning.removable(store.root, CUTOFF))
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


def corrected(store: SnapshotStore) -> tuple[Part, Selection, Selection]:
    """The first version of a day, and what a snapshot takes of it and of the second one."""
    old = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    new = put(store, "2024-05", {"2024-05-01": 1.5}, "2024-06-05")
    commit(store, [Selection(new, new.days)], checked_at=at("2024-06-06"))
    return old, Selection(old, old.days), Selection(new, new.days)


def as_of(store: SnapshotStore, selection: Selection) -> Mapping[str, Any]:
    return commit(store, [selection], asof=day("2024-06-02"), checked_at=at("2024-06-02"))


def file_of(store: SnapshotStore, document: Mapping[str, Any]) -> Path:
    return store.root / SOURCE / f"{document['key']}.json"


def test_a_listed_part_stays_when_its_note_is_damaged(store: SnapshotStore) -> None:
    """The snapshot needs the rows, not the note."""
    old, first, _ = corrected(store)
    document = as_of(store, first)
    (store.root / SOURCE / "parts" / old.file).with_suffix(".json").write_text("{")
    assert kinds(store, FAR) == []
    assert pruning.prune(store.root.parent, FAR) == []
    assert store.find(SOURCE, document["key"]) == document


@pytest.mark.parametrize("pin", [{"asof": dt.date(2024, 6, 2)}, {"tag": "v1.0.0"}])
def test_a_damaged_snapshot_with_a_pinning_name_stays_and_so_do_all_parts(
    store: SnapshotStore, pin: Mapping[str, Any]
) -> None:
    """Nobody knows any more what it lists."""
    _, first, _ = corrected(store)
    path = file_of(store, commit(store, [first], **pin))
    assert pruning.damaged(store.root) == []
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert kinds(store, FAR) == []
    assert pruning.damaged(store.root) == [path]
    path.unlink()
    assert [kind for kind, _ in kinds(store, FAR)] == ["part", "part"]


def fail_to_read(target: Path, patch: pytest.MonkeyPatch) -> None:
    """As a disk does that has a bad sector."""
    read = Path.read_bytes

    def faulty(path: Path) -> bytes:
        if path == target:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    patch.setattr(Path, "read_bytes", faulty)


@pytest.mark.parametrize("what", ["snapshot", "note"])
def test_what_cannot_be_read_ends_it_before_anything_goes(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Also when it has no pin: what it lists is needed."""
    old, first, _ = corrected(store)
    put(store, "2024-04", {"2024-04-01": 1.0}, "2024-06-01")
    put(store, "2024-04", {"2024-04-01": 2.0}, "2024-06-05")
    note = (store.root / SOURCE / "parts" / old.file).with_suffix(".json")
    target = {"snapshot": file_of(store, as_of(store, first)), "note": note}[what]
    before = sorted(store.root.rglob("*"))
    fail_to_read(target, monkeypatch)
    with pytest.raises(StorageError, match=f"{target.name}: cannot be read: Input/output error"):
        pruning.prune(store.root.parent, FAR)
    assert sorted(store.root.rglob("*")) == before


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshots would seem to be none, and every part that only they list unneeded."""
    as_of(store, corrected(store)[1])
    scan = os.scandir

    def refused(path: Any = ".") -> Any:
        if Path(path) == store.root / SOURCE:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StorageError, match=f"{SOURCE}: cannot be read: Permission denied"):
        pruning.prune(store.root.parent, FAR)


def test_what_cannot_be_checked_is_not_damaged(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Say that the schema cannot be opened: every snapshot would go."""
    corrected(store)

    def unchecked(_content: bytes, path: Path, _kind: str) -> Any:
        raise StorageError(f"{path}: the schema cannot be read")

    monkeypatch.setattr(documents, "parse_document", unchecked)
    with pytest.raises(StorageError, match="the schema cannot be read"):
        kinds(store)


def test_prune_deletes_what_both_looks_found(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In between another host lists an old part, and makes an old snapshot new."""
    _, first, second = corrected(store)

    def again(checked: str) -> None:
        store.commit(
            SOURCE, f"{SOURCE}_raw_2024-05-01_2024-05-31", [second], date_field="Date",
            start=day("2024-05-01"), end=day("2024-05-31"), asof=None, tag=None,
            checked_at=at(checked), client_version="1",
        )  # fmt: skip

    again("2024-06-03")
    assert [kind for kind, _ in kinds(store)] == ["snapshot", "part", "part"]
    seen = pruning._seen

    def seen_before(folder: Path, looks: Sequence[pruning.Look]) -> Any:
        found = seen(folder, looks)
        as_of(store, first)
        again("2024-06-20")
        return found

    monkeypatch.setattr(pruning, "_seen", seen_before)
    assert pruning.prune(store.root.parent, CUTOFF) == []
    assert len(pruning.snapshots(store.root)) == 3
    assert len(store.parts(SOURCE)) == 2


def test_a_snapshot_committed_during_a_look_is_heeded(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are listed first."""
    _, first, _ = corrected(store)
    listing = parts_in

    def listed_before(folder: Path) -> Any:
        found = listing(folder)
        as_of(store, first)
        return found

    monkeypatch.setattr(pruning, "parts_in", listed_before)
    assert kinds(store) == []


def test_what_goes_is_told(store: SnapshotStore) -> None:
    """And is gone."""
    old, *_ = corrected(store)
    removed = pruning.prune(store.root.parent, CUTOFF)
    assert [item.path.name for item in removed] == [old.file[:-8] + ".json", old.file]
    assert [part.file for part in store.parts(SOURCE)] != [old.file]
    assert pruning.prune(store.root.parent, CUTOFF) == []


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
        pruning.find(store.root, "../../etc/passwd_raw_2024-01-01_2024-01-02")
    with pytest.raises(MissingData, match="g5 cache list"):
        pruning.find(store.root, "listed_raw_2024-01-01_2024-01-02")


def test_an_empty_cache_has_nothing_to_remove(tmp_path: Path) -> None:
    """Nor anything to list."""
    assert pruning.removable(tmp_path / "cache", CUTOFF) == []
    assert pruning.snapshots(tmp_path / "cache") == []
