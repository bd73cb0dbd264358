"""The spool: what came is there after the death of the process, and nothing else is."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.cache.spool import Spool, entries
from pipeline.quarantine import Entry, noted, notes_of

DAY = "2024-06-03"
NOW = "2024-06-04T08:00:00+09:00"


def rows(value: float = 1.0) -> pa.Table:
    return pa.table({"Date": pa.array([dt.date(2024, 6, 3)], pa.date32()), "C": [value]})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "api")


def test_a_day_comes_back_as_it_was_put(spool: Spool) -> None:
    """Rows, arrival and route: the name says all but the rows."""
    spool.put(DAY, rows(), arrived=NOW, route="requests")
    entry = spool.days()[DAY]
    assert (entry.arrived, entry.route, entry.origin) == (NOW, "requests", "api")
    table = spool.read(entry)
    assert table is not None
    assert table.equals(rows())


def test_what_could_not_be_read_of_a_day_comes_back_with_it(spool: Spool) -> None:
    """A killed run does not lose count."""
    entry = Entry("value", "C", "N/A", 1, DAY, DAY, "Code 13010")
    spool.put(DAY, noted(rows(), [entry]), arrived=NOW, route="requests")
    table = spool.read(spool.days()[DAY])
    assert table is not None
    assert notes_of(table) == (entry,)


def test_an_empty_day_is_a_day(spool: Spool) -> None:
    """A source may have nothing to say about a day, and that is an answer."""
    spool.put(DAY, rows().slice(0, 0), arrived=NOW, route="requests")
    table = spool.read(spool.days()[DAY])
    assert table is not None
    assert table.num_rows == 0
    assert table.schema == rows().schema


def test_of_two_files_of_a_day_the_later_one_counts(spool: Spool) -> None:
    """A run that died, then another one that asked again and died too."""
    spool.put(DAY, rows(1.0), arrived="2024-06-03T20:00:00+09:00", route="requests")
    spool.put(DAY, rows(2.0), arrived=NOW, route="requests")
    assert spool.days()[DAY].arrived == NOW
    assert len(entries(spool.folder)) == 2
    spool.drop([DAY])
    assert entries(spool.folder) == []


@pytest.mark.parametrize("damage", [b"", b"ARROW1", None])
def test_a_damaged_file_is_no_day(spool: Spool, damage: bytes | None) -> None:
    """After a power cut a file may be empty, short or wrong: the day is asked for again."""
    spool.put(DAY, rows(), arrived=NOW, route="requests")
    entry = spool.days()[DAY]
    content = entry.path.read_bytes()
    entry.path.write_bytes(content[:-1] + b"x" if damage is None else damage)
    assert spool.read(entry) is None
    entry.path.unlink()
    assert spool.read(entry) is None


def test_days_of_another_origin_are_not_seen(spool: Spool) -> None:
    """Synthetic days never become real ones, nor are they dropped with them."""
    spool.put(DAY, rows(), arrived=NOW, route="requests")
    other = Spool(spool.folder, "simulator")
    assert other.days() == {}
    other.drop([DAY])
    assert list(spool.days()) == [DAY]


def test_other_files_are_left_alone(spool: Spool) -> None:
    """Temporary files of a killed run, or somebody's notes."""
    spool.put(DAY, rows(), arrived=NOW, route="requests")
    (spool.folder / ".half.tmp").write_bytes(b"x")
    (spool.folder / "notes.arrow").write_bytes(b"x")
    assert list(spool.days()) == [DAY]
    spool.drop([DAY])
    assert sorted(path.name for path in spool.folder.iterdir()) == [".half.tmp", "notes.arrow"]
