"""The stores on an object store: two real servers, the same rules as on a disk."""

from __future__ import annotations

import datetime as dt
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.cache import pruning
from pipeline.cache.parts import Part, Selection
from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore, metadata_path
from pipeline.dataset.views import ViewStore
from pipeline.errors import StorageError, UsageError
from pipeline.filesystem import atomic, location
from pipeline.filesystem.local_copies import forget_unused, local_copy, seekable
from tests.cache.test_snapshots import FIRST, SOURCE, at, commit, put
from tests.dataset.builders import build, order, rows
from tests.object_stores import SECRET, ObjectStore, gateway, moto, used

FAR = "2100-01-01T00:00:00+09:00"


@pytest.fixture(scope="module", params=["moto", "gateway"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectStore]:
    start = {"moto": moto, "gateway": gateway}[request.param]
    with start(tmp_path_factory.mktemp("server")) as store:
        yield store


@pytest.fixture
def root(server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh output root in the store."""
    with used(server, tmp_path / "host", monkeypatch):
        yield location.place_of(f"s3://market/{tmp_path.name}")


DAYS = {"2020Q1": dt.date(2020, 1, 6), "2020Q2": dt.date(2020, 4, 1)}


def build_chunk(store: ChunkStore, chunk: str) -> None:
    day = DAYS[chunk]
    build(store, chunk, rows([day]), covered_from=day, covered_to=day + dt.timedelta(days=20))


def _fail_half_way(path: Path) -> None:
    with atomic.renewing(path) as here:
        here.write_bytes(b"half of the n")
        raise ZeroDivisionError


def objects(root: Path) -> list[str]:
    """Every object below a root."""
    system, key = location.file_system(root)
    return sorted(name.removeprefix(f"{key}/") for name in system.find(key))


def test_small_files_folders_and_their_sizes(root: Path) -> None:
    assert location.is_remote(root)
    assert location.sizes_in(root / "a") == {}
    assert location.folders_in(root) == []
    for name in ("x.json", "y.json"):
        atomic.write_json(root / "a" / name, {"name": name})
    atomic.write_bytes(root / "a" / "z.bin", b"123")
    assert location.sizes_in(root / "a") == {"x.json": 23, "y.json": 23, "z.bin": 3}
    assert location.folders_in(root) == ["a"]
    assert location.contents_of([root / "a" / "x.json", root / "a" / "gone.json"]) == {
        root / "a" / "x.json": b'{\n  "name": "x.json"\n}\n'
    }
    atomic.remove_file(root / "a" / "x.json")
    atomic.remove_file(root / "a" / "x.json")
    assert objects(root) == ["a/y.json", "a/z.bin"]


def test_a_store_is_looked_at_together_and_a_folder_in_turn(root: Path, tmp_path: Path) -> None:
    """The looks wait for each other: one by one they would never end."""
    meeting = threading.Barrier(3)

    def look(name: str) -> tuple[str, int]:
        return name, meeting.wait(timeout=30)

    found = location.at_once(root, look, ["a", "b", "c"])
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert sorted(turn for _, turn in found) == [0, 1, 2]
    here = threading.get_ident()
    assert location.at_once(tmp_path, lambda _: threading.get_ident(), "ab") == [here, here]
    with pytest.raises(ZeroDivisionError):
        location.at_once(root, lambda divisor: 1 // divisor, [1, 0])


def test_a_large_file_is_renewed_without_disturbing_its_readers(root: Path) -> None:
    path = root / "labels" / "2020Q1.parquet"
    with atomic.renewing(path) as here:
        here.write_bytes(b"old" * 1000)
    old = atomic.current(path)
    with seekable(old) as reading:
        assert reading.read(3) == b"old"
        with atomic.renewing(path) as here:
            here.write_bytes(b"new" * 1000)
        assert reading.read() == b"old" * 999
    assert atomic.current(path).read_bytes() == b"new" * 1000
    assert atomic.current(path) != old
    assert not list((location.host_folder() / "tmp").iterdir())


def test_a_failed_writer_leaves_what_was_there(root: Path) -> None:
    path = root / "labels" / "2020Q1.parquet"
    with atomic.renewing(path) as here:
        here.write_bytes(b"old")
    before = objects(root)
    with pytest.raises(ZeroDivisionError):
        _fail_half_way(path)
    assert objects(root) == before
    assert atomic.current(path).read_bytes() == b"old"


def in_the_far_future(patch: pytest.MonkeyPatch) -> None:
    """As if all was written long ago."""
    patch.setattr(pruning, "_now", lambda: dt.datetime.fromisoformat(FAR))


def test_what_nothing_points_at_is_pruned_when_it_is_old(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_far_future(monkeypatch)
    path = root / "chunks" / "2020Q1" / "ml_dataset.parquet"
    for content in (b"first", b"second"):
        with atomic.renewing(path) as here:
            here.write_bytes(content)
    assert pruning.superseded(root, "2000-01-01T00:00:00+09:00") == []
    found = pruning.superseded(root, FAR)
    assert [(item.kind, item.bytes) for item in found] == [("superseded", 5)]
    pruning.remove(found)
    assert atomic.current(path).read_bytes() == b"second"
    assert pruning.superseded(root, FAR) == []


def test_a_part_that_another_host_is_committing_is_not_pruned(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file lies there before its note does; only when it is old does nobody come for it."""
    in_the_far_future(monkeypatch)
    cache = root / "cache"
    for name in ("2024-05-api-x.parquet", "2024-06-api-x.json"):
        with atomic.replacing(cache / "listed" / "parts" / name) as here:
            here.write_bytes(b"{")
    assert pruning.removable(cache, "2000-01-01T00:00:00+09:00") == []
    found = pruning.removable(cache, FAR)
    assert [item.kind for item in found] == ["part", "fragment"]
    pruning.remove(found)
    assert pruning.removable(cache, FAR) == []


def test_an_object_is_copied_once_and_forgotten_when_unused(root: Path) -> None:
    path = root / "cache" / "part.parquet"
    with atomic.replacing(path) as here:
        here.write_bytes(b"content")
    copy = local_copy(path)
    assert copy.read_bytes() == b"content"
    atomic.remove_file(path)
    assert local_copy(path) == copy  # its name is never given to other content
    forget_unused(time.time() + 8 * 86400)
    with pytest.raises(StorageError, match=r"part\.parquet: cannot be read"):
        local_copy(path)


def test_chunks_merge_to_the_very_bytes_of_a_disk(root: Path, tmp_path: Path) -> None:
    here = tmp_path / "output"
    for place_ in (root, here):
        store = ChunkStore(place_)
        for chunk in ("2020Q1", "2020Q2"):
            build_chunk(store, chunk)
        build_chunk(store, "2020Q2")  # once more: the pointer turns
    on_disk, remote = (DatasetStore(r).merge(ChunkStore(r), ["2020Q1", "2020Q2"])
                       for r in (here, root))  # fmt: skip
    assert remote.metadata["dataset_hash"] == on_disk.metadata["dataset_hash"]
    assert local_copy(remote.path).read_bytes() == on_disk.path.read_bytes()
    again = DatasetStore(root).merge(ChunkStore(root), ["2020Q1", "2020Q2"])
    assert again.path == remote.path
    assert DatasetStore(root).latest() is not None
    assert ChunkStore(root).ids() == ["2020Q1", "2020Q2"]


def test_a_build_that_another_run_overtook_is_not_committed(root: Path) -> None:
    store, day = ChunkStore(root), DAYS["2020Q1"]

    def build_while_another_run_does() -> None:
        with store.build(order(covered_from=day, covered_to=day)) as writer:
            writer.write(rows([day]))
            build_chunk(ChunkStore(root), "2020Q1")

    with pytest.raises(StorageError, match="another run has written it meanwhile"):
        build_while_another_run_does()
    status = store.read_status("2020Q1")
    assert status["state"] == "completed"
    assert pq.read_table(store.parquet_copy("2020Q1")).num_rows == status["rows"]
    assert store.metadata("2020Q1")["build_id"] == status["build_id"]


def test_a_commit_between_look_and_write_is_seen_by_the_store(
    root: Path, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "chunks" / "status.json"
    atomic.write_bytes(path, b"ours")

    def overtaken(content: bytes) -> bool:
        atomic.write_bytes(path, b"theirs")
        return content == b"ours"

    if server.more:  # the gateway does not look at entity tags
        atomic.commit_bytes(path, b"done", overtaken)
        return
    with pytest.raises(StorageError, match="another run has written it meanwhile"):
        atomic.commit_bytes(path, b"done", overtaken)
    assert path.read_bytes() == b"theirs"


def test_a_commit_whose_answer_was_lost_counts(
    root: Path, server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has it; the library asks once more and is refused, for the tag is another one."""
    path = root / "chunks" / "status.json"
    atomic.write_bytes(path, b"ours")
    system, key = location.file_system(path)
    send = system.pipe_file

    def refused(to: str, content: bytes, **_: str) -> None:
        send(to, content)
        raise OSError(errno.EINVAL, "precondition failed")

    monkeypatch.setattr(system, "pipe_file", refused)
    atomic.commit_bytes(path, b"done", lambda content: content == b"ours")
    assert system.cat_file(key) == b"done"


def test_a_store_that_refuses_to_show_a_chunk_is_not_asked_to_build_it_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChunkStore(root)
    build_chunk(store, "2020Q1")
    system, _ = location.file_system(root)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Access Denied")

    asked = {"origin": "simulator", "first": DAYS["2020Q1"], "last": DAYS["2020Q1"]}
    for name in ("cat_file", "info"):
        with monkeypatch.context() as patch:
            patch.setattr(system, name, refused)
            with pytest.raises(StorageError, match="cannot be read"):
                store.why_not_complete("2020Q1", **asked)
    assert store.why_not_complete("2020Q1", **asked) is None


def test_only_the_newest_datasets_remain(root: Path) -> None:
    store = ChunkStore(root)
    for minute in range(5):
        build_chunk(store, "2020Q1")
        moment = dt.datetime(2024, 6, 3, 8, minute, tzinfo=dt.UTC)
        DatasetStore(root, clock=lambda moment=moment: moment).merge(store, ["2020Q1"], keep=2)
    names = [name for name in objects(root) if name.endswith("_full.parquet")]
    assert len([name for name in names if name.startswith("datasets/")]) == 2


def test_a_view_is_refused(root: Path) -> None:
    build_chunk(ChunkStore(root), "2020Q1")
    with pytest.raises(UsageError, match="object store, which has no links"):
        ViewStore(root).make(ChunkStore(root), ["2020Q1"])


def test_a_killed_upload_is_not_seen(root: Path, tmp_path: Path) -> None:
    """Large enough for several parts, killed while it is under way."""
    path = root / "chunks" / "2020Q1" / "ml_dataset.parquet"
    with atomic.renewing(path) as here:
        here.write_bytes(b"old")
    before, ready = objects(root), tmp_path / "ready"
    program = (
        "import sys; from pathlib import Path; from pipeline.filesystem import atomic, location\n"
        "with atomic.renewing(location.place_of(sys.argv[1])) as here:\n"
        "    here.write_bytes(bytes(200 << 20)); Path(sys.argv[2]).touch()\n"
    )
    command = [sys.executable, "-c", program, str(path), str(ready)]
    with subprocess.Popen(command, env=os.environ) as process:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert objects(root) == before
    assert atomic.current(path).read_bytes() == b"old"


def test_a_store_that_is_away_is_one_readable_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    nobody = ObjectStore([], tmp_path, 9)
    with used(nobody, tmp_path / "host", monkeypatch):
        root = location.place_of("s3://market/x")
        with pytest.raises(StorageError) as error:
            atomic.write_bytes(root / "a.json", b"{}")
        text = str(error.value)
        assert "s3://market/x/a.json: cannot be written: " in text
        assert "\n" not in text
        assert SECRET not in text
        with pytest.raises(StorageError, match="cannot be read"):
            ChunkStore(root).read_status("2020Q1")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3:///prefix", "names no bucket"),
        ("s3://key:secret@bucket/p", "holds credentials"),
        ("nowhere://bucket/p", "nowhere"),
    ],
)
def test_wrong_addresses_are_refused(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as error:
        location.place_of(url)
    assert "secret" not in str(error.value)


def test_a_path_of_this_machine_is_its_own_host_folder(tmp_path: Path) -> None:
    assert location.place_of(str(tmp_path)) == tmp_path
    assert location.on_host(tmp_path) == tmp_path
    assert not location.is_remote(tmp_path)


def test_two_roots_have_two_host_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("G5_HOST_DIR", str(tmp_path))
    first, second = (
        location.on_host(location.place_of(f"s3://b/{name}")) for name in ("a-b", "a/b")
    )
    assert first != second
    assert {first.parent, second.parent} == {tmp_path / "roots"}


def test_when_an_object_was_written(root: Path) -> None:
    atomic.write_bytes(root / "a.bin", b"1")
    age = dt.datetime.now(dt.UTC) - location.written_at(root / "a.bin")
    assert abs(age.total_seconds()) < 60


def test_what_waits_to_be_sent_is_not_swept(root: Path) -> None:
    """It has waited for two hours, say for a larger file that goes first."""
    with atomic.replacing(root / "a.bin") as here:
        here.write_bytes(b"1")
        later = here.stat().st_mtime + 7200
        assert atomic.sweep_leftovers(location.host_folder(), 3600, later) == []
    assert (root / "a.bin").read_bytes() == b"1"
    assert not list((location.host_folder() / "tmp").iterdir())


def test_a_dataset_that_another_host_is_about_to_complete_stays(root: Path) -> None:
    """Its metadata follow; only when they have not for a day does nobody send them any more."""
    store, now = ChunkStore(root), dt.datetime.now(dt.UTC)
    build_chunk(store, "2020Q1")
    left = root / "datasets" / "ml_dataset_20200106_20200106_20240603T080000Z_full.parquet"
    atomic.write_bytes(left, b"PAR1")
    made = DatasetStore(root, lambda: now).merge(store, ["2020Q1"])
    assert DatasetStore(root, lambda: now + dt.timedelta(hours=23)).prune() == []
    assert DatasetStore(root, lambda: now + dt.timedelta(hours=25)).prune() == [left]
    assert sorted((root / "datasets").iterdir()) == [made.path, metadata_path(made.path)]


def a_second_later() -> str:
    """The moment, after which and before which nothing is written: stores count in seconds."""
    time.sleep(1.1)
    moment = dt.datetime.now(dt.timezone(dt.timedelta(hours=9)))
    time.sleep(1.1)
    return moment.isoformat()


def renew(path: Path, content: bytes) -> Path:
    with atomic.renewing(path) as here:
        here.write_bytes(content)
    return atomic.current(path)


def test_what_was_replaced_a_moment_ago_is_not_pruned(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old it is: somebody may have begun to read it. What went before it goes: a name that
    turns every day would otherwise keep all it ever showed."""
    in_the_far_future(monkeypatch)
    often, seldom = root / "labels" / "2020Q1.parquet", root / "labels" / "2020Q2.parquet"
    first = renew(often, b"1")
    a_second_later()
    replaced = [first, renew(often, b"2"), renew(seldom, b"2")]
    cutoff = a_second_later()
    for path in (often, seldom):
        renew(path, b"3")
    assert [item.path for item in pruning.superseded(root, cutoff)] == [first]
    assert {item.path for item in pruning.prune(root, FAR)} == set(replaced)
    assert [atomic.current(path).read_bytes() for path in (often, seldom)] == [b"3", b"3"]


def test_a_pointer_that_names_nothing_keeps_what_it_may_have_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_far_future(monkeypatch)
    path = root / "labels" / "2020Q1.parquet"
    renew(path, b"1")
    atomic.write_bytes(path, b"{")
    assert pruning.superseded(root, FAR) == []
    atomic.remove_file(path)
    assert len(pruning.superseded(root, FAR)) == 1


def corrected(root: Path) -> tuple[SnapshotStore, Part]:
    """A day of which a snapshot lists the second version, and its first version."""
    store = SnapshotStore(root, "api")
    old = put(store, "2024-05", {"2024-05-01": 1.0}, "2024-06-01")
    new = put(store, "2024-05", {"2024-05-01": 1.5}, "2024-06-05")
    for end, checked in (("2024-05-31", "2024-06-02"), ("2024-06-30", "2024-06-06")):
        store.commit(
            SOURCE, f"{SOURCE}_raw_2024-05-01_{end}", [Selection(new, new.days)],
            date_field="Date", start=FIRST, end=dt.date.fromisoformat(end), asof=None, tag=None,
            checked_at=at(checked), client_version="1",
        )  # fmt: skip
    return store, old


def test_nothing_of_the_last_day_is_pruned_whatever_the_cutoff(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock tells what another host is about to commit."""
    store, _ = corrected(root)
    atomic.write_bytes(root / "cache" / SOURCE / "parts" / "2024-07-api-x.parquet", b"PAR1")
    atomic.write_bytes(root / "cache" / SOURCE / "parts" / "2024-07-api-y.json", b"{")
    atomic.write_bytes(root / "cache" / SOURCE / "broken.json", b"{")
    renew(root / "labels" / "2020Q1.parquet", b"1")
    renew(root / "labels" / "2020Q1.parquet", b"2")
    before = objects(root)
    assert pruning.prune(root, FAR) == []
    assert objects(root) == before
    in_the_far_future(monkeypatch)
    kinds = [item.kind for item in pruning.prune(root, FAR)]
    assert kinds == ["snapshot", "snapshot", "part", "part", "part", "fragment", "superseded"]
    assert len(store.parts(SOURCE)) == 1
    assert pruning.prune(root, FAR) == []


def test_a_snapshot_written_lately_stays_whole_whatever_its_dates(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may list what it checked long ago."""
    in_the_far_future(monkeypatch)
    store, old = corrected(root)
    cutoff = a_second_later()
    again = store.commit(
        SOURCE, f"{SOURCE}_raw_2024-05-01_2024-06-15", [Selection(old, old.days)],
        date_field="Date", start=FIRST, end=dt.date(2024, 6, 15), asof=None, tag=None,
        checked_at=at("2024-06-02"), client_version="1",
    )  # fmt: skip
    assert [item.kind for item in pruning.prune(root, cutoff)] == ["snapshot"]
    assert store.find(SOURCE, again["key"]) == again


def refuse(root: Path, name: str, error: Exception, patch: pytest.MonkeyPatch) -> None:
    """A store that does not give one object."""
    system, _ = location.file_system(root)
    together, alone = system._cat_file, system.cat_file

    def refused(path: str) -> None:
        if name in path:
            raise error

    async def one_of_several(path: str, **options: Any) -> Any:
        refused(path)
        return await together(path, **options)

    def one(path: str, **options: Any) -> Any:
        refused(path)
        return alone(path, **options)

    patch.setattr(system, "_cat_file", one_of_several)
    patch.setattr(system, "cat_file", one)


DENIED = PermissionError(errno.EACCES, "Access Denied")
AWAY = EndpointConnectionError(endpoint_url="http://nowhere")


@pytest.mark.parametrize(
    ("name", "error"),
    [("_v1.0.0.json", DENIED), ("05-api-20240601T", AWAY), ("2020Q1.parquet", DENIED)],
    ids=["snapshot", "note", "pointer"],
)
def test_what_the_store_does_not_give_ends_a_prune_before_anything_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    """It is not absent: what hangs on it is needed."""
    in_the_far_future(monkeypatch)
    store, old = corrected(root)
    commit(store, [Selection(old, old.days)], tag="v1.0.0", checked_at=at("2024-06-02"))
    renew(root / "labels" / "2020Q1.parquet", b"1")
    before = objects(root)
    refuse(root, name, error, monkeypatch)
    with pytest.raises(StorageError, match=r"^s3://\S+: cannot be read: \S") as told:
        pruning.prune(root, FAR)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
    assert objects(root) == before


def test_an_object_that_cannot_be_read_is_not_one_that_vanished(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.json", "b.json"):
        atomic.write_bytes(root / name, b"{}")
    paths = [root / name for name in ("a.json", "b.json", "gone.json")]
    assert list(location.contents_of(paths)) == paths[:2]
    for error in (DENIED, AWAY, TimeoutError()):
        refuse(root, "b.json", error, monkeypatch)
        with pytest.raises(OSError, match=r"^b\.json: \S"):
            location.contents_of(paths)


def test_metadata_alone_stay_for_a_day(root: Path) -> None:
    """Another host may be about to send the dataset again."""
    store, now = ChunkStore(root), dt.datetime.now(dt.UTC)
    build_chunk(store, "2020Q1")
    left = root / "datasets" / "ml_dataset_20200106_20200106_20240603T080000Z_full_metadata.json"
    atomic.write_bytes(left, b"{}")
    DatasetStore(root, lambda: now).merge(store, ["2020Q1"])
    assert DatasetStore(root, lambda: now + dt.timedelta(hours=23)).prune() == []
    assert DatasetStore(root, lambda: now + dt.timedelta(hours=25)).prune() == [left]
    assert not left.exists()
