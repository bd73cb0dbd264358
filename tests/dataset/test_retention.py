"""Names of what is made anew each time, and which of them go."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.dataset.merge_inputs import Source
from pipeline.dataset.retention import new_path, outdated
from pipeline.errors import MissingData, StorageError
from tests.dataset.builders import clock

SOURCE = Source(Path(), {"rows": 1, "output_start": "2020-01-06", "output_end": "2020-03-31"})


def lay(folder: Path, *stamps: str) -> list[Path]:
    """Things of these times."""
    paths = [folder / f"ml_dataset_20200106_20200331_{stamp}_x" for stamp in stamps]
    for path in paths:
        path.touch()
    return paths


def stamp_of_new(folder: Path) -> str:
    return new_path(folder, [SOURCE], "x", clock, "merge").name.split("_")[4]


def test_a_new_name_is_the_latest(tmp_path: Path) -> None:
    """Also than one with another range, though not than one of another kind, or of no time."""
    assert stamp_of_new(tmp_path / "none") == "20240603T080000Z"
    lay(tmp_path, "20230101T000000Z", "20249999T999999Z")
    (tmp_path / "ml_dataset_20200106_20200331_20300101T000000Z_y").touch()
    assert stamp_of_new(tmp_path) == "20240603T080000Z"
    (tmp_path / "ml_dataset_20100104_20100105_20291231T235959Z_x").touch()
    assert stamp_of_new(tmp_path) == "20300101T000000Z"


def test_without_rows_there_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="view: the chunks hold no rows"):
        new_path(tmp_path, [Source(Path(), {"rows": 0})], "x", clock, "view")


@pytest.mark.parametrize(
    ("whole", "latest", "gone"),
    [
        ("12345", "5", "12"),
        ("345", "5", "12"),
        ("15", "5", "234"),
        ("1234", "4", "1"),  # the fifth may still become whole
        ("12345", "1", "2"),
        ("2345", "1", "2"),  # what is shown stays, whole or not
        ("", "5", ""),
    ],
)
def test_the_newest_whole_ones_remain(tmp_path: Path, whole: str, latest: str, gone: str) -> None:
    """Of five, the third from the end and later; older ones that are not whole go as well."""
    paths = lay(tmp_path, *(f"2024060{day}T000000Z" for day in range(1, 6)))
    link = tmp_path / "latest"
    link.symlink_to(paths[int(latest) - 1].name)
    named = {path: str(day) for day, path in enumerate(paths, start=1)}
    found = outdated(tmp_path, "x", 3, link, clock, lambda path: named[path] in whole)
    assert "".join(named[path] for path in found) == gone


def test_what_cannot_be_told_stays(tmp_path: Path) -> None:
    """Nothing is called superfluous by guess."""
    lay(tmp_path, *(f"2024060{day}T000000Z" for day in range(1, 6)))

    def ask(_: Path) -> bool:
        raise OSError(5, "Input/output error")

    with pytest.raises(StorageError, match="cannot be read: Input/output error"):
        outdated(tmp_path, "x", 3, tmp_path / "latest", clock, ask)


def test_an_object_in_doubt_is_judged_by_its_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts do not hold a store; one that has just removed it needs no help."""
    gone, young, old, whole = lay(tmp_path, *(f"2024060{day}T000000Z" for day in range(1, 5)))
    ages = {young: dt.timedelta(hours=23), old: dt.timedelta(hours=25)}

    def written_at(path: Path) -> dt.datetime:
        if path == gone:
            raise FileNotFoundError(path)
        return clock() - ages[path]

    monkeypatch.setattr("pipeline.dataset.retention.is_remote", lambda _: True)
    monkeypatch.setattr("pipeline.dataset.retention.written_at", written_at)
    found = outdated(tmp_path, "x", 3, tmp_path / "latest", clock, whole.__eq__)
    assert found == [old]
