"""Specification of atomic replacement: files are whole or absent, whatever happens."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import StorageError
from pipeline.filesystem import atomic
from tests.dataset.builders import leftovers


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_appears_whole_or_not_at_all(tmp_path, old):
    """While it is written the target is untouched; afterwards it is the new content."""
    path = tmp_path / "a" / "b" / "file.json"
    if old is not None:
        atomic.write_bytes(path, old)
    with atomic.replacing(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"new, and longer")
        assert (path.read_bytes() if path.exists() else None) == old
    assert path.read_bytes() == b"new, and longer"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), SystemExit(143)])
def test_an_exception_in_the_middle_leaves_the_old_file_and_no_rubbish(tmp_path, error):
    """Also when a signal ends the process in good order."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some disk space"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "the right to read and write"),
        (errno.EIO, "system log"),
        (errno.ELOOP, "check the path"),
    ],
)
def test_a_refusal_of_the_system_is_a_readable_error(tmp_path, monkeypatch, failing, number, hint):
    """A full, broken or read-only disk: the path, the reason, what to do; the old file stays."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(*_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(StorageError) as info:
        atomic.write_bytes(path, b"new")
    assert str(path) in info.value.message
    assert os.strerror(number) in info.value.message
    assert hint in info.value.hint
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_full_disk_while_writing_is_a_readable_error(tmp_path):
    """The device that is always full stands in for one that has become so."""
    full = Path("/dev/full")
    with (
        pytest.raises(StorageError, match="No space left") as info,
        atomic.replacing(tmp_path / "f"),
    ):
        full.write_bytes(b"x")
    assert "free some disk space" in info.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError("odd")])
def test_errors_from_elsewhere_pass_through(tmp_path, error):
    """A connection that breaks inside the block is no fault of the file."""
    with pytest.raises(type(error)) as info, atomic.replacing(tmp_path / "file"):
        raise error
    assert info.value is error


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    """The message says what stands in the way."""
    (tmp_path / "chunks").write_bytes(b"")
    with pytest.raises(StorageError, match="chunks") as info:
        atomic.write_bytes(tmp_path / "chunks" / "file", b"")
    assert "a file stands where a folder is needed" in info.value.hint


def test_the_file_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    """fsync of the file, rename, fsync of the folder: in this order."""
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (seen.append(str(Path(f"/proc/self/fd/{fd}").readlink())), fsync(fd))[1],
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("rename"), replace(a, b))[1])
    atomic.write_bytes(tmp_path / "file", b"x")
    assert seen[0].startswith(str(tmp_path / ".file."))
    assert seen[1:] == ["rename", str(tmp_path)]


def test_json_is_the_same_text_every_time(tmp_path):
    """Insertion order, two spaces, text as it is, one newline at the end."""
    atomic.write_json(tmp_path / "x.json", {"b": "終値", "a": [1, None]})
    expected = '{\n  "b": "終値",\n  "a": [\n    1,\n    null\n  ]\n}\n'
    assert (tmp_path / "x.json").read_text("utf-8") == expected


def test_json_has_no_nan(tmp_path):
    """NaN is not JSON: other readers would refuse the file."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "x.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", [None, "a.parquet", "missing.parquet"])
def test_a_symlink_is_switched_in_one_step(tmp_path, old):
    """From none, from a good one and from a dangling one."""
    link = tmp_path / "latest"
    (tmp_path / "a.parquet").write_bytes(b"a")
    (tmp_path / "b.parquet").write_bytes(b"b")
    if old:
        link.symlink_to(old)
    atomic.point_at(link, "b.parquet")
    assert link.readlink() == Path("b.parquet")
    assert link.read_bytes() == b"b"
    assert (tmp_path / "a.parquet").read_bytes() == b"a"
    assert leftovers(tmp_path) == []


def test_a_symlink_never_replaces_a_folder(tmp_path):
    """A folder of that name is somebody's data."""
    (tmp_path / "latest").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        atomic.point_at(tmp_path / "latest", "b.parquet")
    assert (tmp_path / "latest").is_dir()
    assert leftovers(tmp_path) == []


def test_only_old_leftovers_of_our_own_are_swept(tmp_path):
    """A file being written by another process is young; other files are not ours."""
    own = "." + "status.json" + "." + "0" * 32 + ".tmp"
    old = [tmp_path / "chunks" / "2020Q1" / own, tmp_path / "x-luigi-tmp-12345"]
    young = tmp_path / own
    others = [tmp_path / "status.json", tmp_path / ".hidden.tmp", tmp_path / f"{own}x"]
    for path in [*old, young, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1000, 1000))
    os.utime(young, (5000, 5000))
    assert atomic.sweep_leftovers(tmp_path, older_than_s=600, now=5100) == sorted(old)
    assert all(path.exists() for path in [young, *others])
    assert not any(path.exists() for path in old)


HOLDER = """
from pathlib import Path
from pipeline.filesystem import atomic
with atomic._written_here(Path("large.parquet")) as here:
    here.write_bytes(b"to be sent")
    print(here, flush=True)
    input()
"""


def test_what_waits_to_be_sent_is_swept_when_its_process_is_dead(tmp_path):
    """An upload takes as long as it takes, and runs of other output roots sweep as well."""
    given = os.environ | {"G5_HOST_DIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, env=given, stdin=-1, stdout=-1, text=True) as process:
        waiting = Path(process.stdout.readline().strip())
        assert waiting.read_bytes() == b"to be sent"
        later = waiting.stat().st_mtime + 7200
        assert atomic.sweep_leftovers(tmp_path, older_than_s=3600, now=later) == []
        process.kill()
    assert waiting.exists()
    assert atomic.sweep_leftovers(tmp_path, older_than_s=3600, now=later) == [waiting]
    assert not waiting.exists()


def test_a_link_that_leads_nowhere_is_swept(tmp_path):
    """As a killed run leaves it that was about to turn a latest name."""
    link = tmp_path / ("." + "latest" + "." + "0" * 32 + ".tmp")
    link.symlink_to("gone.parquet")
    later = link.lstat().st_mtime + 7200
    assert atomic.sweep_leftovers(tmp_path, older_than_s=3600, now=later) == [link]


def test_sweeping_a_place_that_does_not_exist_finds_nothing(tmp_path):
    """Before the first run there is no output root."""
    assert atomic.sweep_leftovers(tmp_path / "none", 0, 1) == []
