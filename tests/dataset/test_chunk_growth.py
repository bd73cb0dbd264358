"""Chunks that grow: when, what stands, and that the result is that of a build of all rows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.build_request import BuildOrder, Input, Superseded
from pipeline.dataset.chunk_growth import Growth
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import Layout
from pipeline.errors import StorageError
from pipeline.market.calendar.sessions import TradingCalendar
from tests.dataset.builders import HASH, SCHEMA, clock, leftovers, order, rows

SOURCE = "daily_bars"
DAYS = np.arange("2020-01-06", "2020-05-01", dtype="datetime64[D]")
CALENDAR = TradingCalendar(DAYS[np.is_busday(DAYS)])
RANGES = {"ret_prev_1d": (0.5, 8.0)}

Months = list[pa.Table]


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return ChunkStore(tmp_path / "grown", clock)


def until(last: str, checked: str = "", **changes: Any) -> BuildOrder:
    """An order from January to a day, from sources known up to the next session's morning."""
    morning = CALENDAR.next(np.datetime64(last))
    moment = checked or f"{morning}T08:00:00+09:00"
    key = f"{SOURCE}_raw_2019-01-04_{last}"
    fields = {
        "covered_from": dt.date(2020, 1, 6),
        "covered_to": dt.date.fromisoformat(last),
        "inputs": (Input(SOURCE, key, HASH, moment),),
        "ranges": RANGES,
    }
    return order("2020Q1", **fields | changes)


def market(last: str, factor: float = 1.0) -> Months:
    """The rows up to a day, month by month; values out of range in January and in March."""
    days = CALENDAR.between(CALENDAR.sessions[0], np.datetime64(last)).astype(object)
    table = rows(days)
    values = pc.multiply(table["ret_prev_1d"], pa.scalar(factor, pa.float32()))
    table = table.set_column(2, SCHEMA.field(2), values)
    month = pc.month(table["Date"])
    return [table.filter(pc.equal(month, at)) for at in range(1, 5)]


def build(store: ChunkStore, told: BuildOrder, months: Months) -> None:
    """All rows."""
    with store.build(told) as writer:
        for table in months:
            writer.write(table)


def growing(store: ChunkStore, told: BuildOrder) -> Growth:
    growth = store.growth(told, Layout(), CALENDAR)
    assert isinstance(growth, Growth), growth
    return growth


def grow(store: ChunkStore, told: BuildOrder, months: Months) -> Growth:
    """The rows that do not stand."""
    growth = growing(store, told)
    with store.build(told, growth=growth) as writer:
        for table in months:
            late = table.filter(pc.greater_equal(table["Date"], pa.scalar(growth.first)))
            writer.write(late)
    return growth


def without(document: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in fields}


def test_day_by_day_is_the_same_as_at_once(store: ChunkStore, tmp_path: Path) -> None:
    """Over the border of a month and several days at once: file, null rates and findings are those
    of one build; the build is another one each time."""
    build(store, until("2020-02-26"), market("2020-02-26"))
    seen = {store.read_status("2020Q1")["build_id"]}
    groups = []
    for last in (
        "2020-02-27",
        "2020-02-28",
        "2020-03-02",
        "2020-03-03",
        "2020-03-30",
        "2020-04-02",
    ):
        groups.append(grow(store, until(last), market(last)).groups)
        seen.add(store.read_status("2020Q1")["build_id"])
        whole = ChunkStore(tmp_path / last, clock)
        build(whole, until(last), market(last))
        assert store.parquet_path("2020Q1").read_bytes() == (
            whole.parquet_path("2020Q1").read_bytes()
        )
        statuses = [s.read_status("2020Q1") for s in (store, whole)]
        assert without(statuses[0], "build_id") == without(statuses[1], "build_id")
        documents = [s.metadata("2020Q1") for s in (store, whole)]
        own = ("build_id", "last_good", "warnings")
        assert without(documents[0], *own) == without(documents[1], *own)
        assert documents[0]["warnings"][:1] == documents[1]["warnings"][:1] != []
    assert groups == [1, 1, 2, 2, 2, 2]  # the last day of March was missing
    assert len(seen) == 7
    assert leftovers(store.folder) == []


def test_rows_that_were_not_final_are_made_once_more(store: ChunkStore, tmp_path: Path) -> None:
    """Built in the evening, before the decision time: also where the month has ended since."""
    evening = until("2020-02-28", checked="2020-02-28T19:00:00+09:00")
    build(store, evening, market("2020-02-28", factor=3.0))
    growth = grow(store, until("2020-03-03"), market("2020-03-03"))
    assert (growth.first, growth.groups) == (dt.date(2020, 2, 28), 1)
    table = pq.read_table(store.parquet_path("2020Q1"))
    expected = pa.concat_tables(market("2020-03-03"))
    own = [
        table.filter(pc.equal(table["Date"], pa.scalar(dt.date(2020, 2, day)))) for day in (27, 28)
    ]
    now = [
        expected.filter(pc.equal(expected["Date"], pa.scalar(dt.date(2020, 2, day))))
        for day in (27, 28)
    ]
    assert not own[0].equals(now[0])
    assert own[1].equals(now[1])


def test_rows_that_stand_are_those_that_were_published(store: ChunkStore) -> None:
    """The vendor has other values for all days by now: only new rows have them, and the row groups
    of past months their bytes; the correction is on record."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    path = store.parquet_path("2020Q1")
    before, published = path.read_bytes(), pq.read_table(path)
    end = pq.read_metadata(path).row_group(2).column(0).dictionary_page_offset
    told = Superseded(SOURCE, "2020-01-07", "2020-03-03T08:00:00+09:00")
    grow(store, until("2020-03-03", corrections=(told,)), market("2020-03-03", factor=2.0))
    assert path.read_bytes()[:end] == before[:end]
    table = pq.read_table(path)
    assert table.slice(0, published.num_rows).equals(published)
    new = pa.concat_tables(market("2020-03-03", factor=2.0)).slice(published.num_rows)
    assert table.slice(published.num_rows).equals(new)
    assert store.metadata("2020Q1")["corrections"] == [
        {"source": SOURCE, "date": "2020-01-07", "arrived": "2020-03-03T08:00:00+09:00"}
    ]


def test_a_build_that_dies_leaves_the_old_rows_to_readers(store: ChunkStore) -> None:
    """An error after the first row group: the old file is there, the chunk not complete, and the
    next build makes all rows."""
    build(store, until("2020-02-27"), market("2020-02-27"))
    before = store.parquet_path("2020Q1").read_bytes()
    told = until("2020-03-02")
    growth = growing(store, told)

    class Killed(BaseException):
        """What ends a process is no ``Exception``."""

    def build_half() -> None:
        with store.build(told, growth=growth) as writer:
            writer.write(market("2020-03-02")[1].slice(38))
            raise Killed

    with pytest.raises(Killed):
        build_half()
    assert store.parquet_path("2020Q1").read_bytes() == before
    assert leftovers(store.folder) == []
    assert store.growth(told, Layout(), CALENDAR) is None
    build(store, told, market("2020-03-02"))
    assert pq.read_table(store.parquet_path("2020Q1")).num_rows == 82


def test_a_damaged_chunk_is_not_gone_on_from(store: ChunkStore) -> None:
    """A bit of a past month has changed: the build fails, and the next one makes all rows."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    path, told = store.parquet_path("2020Q1"), until("2020-03-03")
    growth, content = growing(store, told), bytearray(path.read_bytes())
    content[pq.read_metadata(path).row_group(0).column(2).data_page_offset + 60] ^= 1
    path.write_bytes(content)
    with (
        pytest.raises(StorageError, match="not the one that was written"),
        store.build(told, growth=growth) as writer,
    ):
        writer.write(market("2020-03-03")[2].slice(2))
    assert store.growth(told, Layout(), CALENDAR) is None


def test_a_rebuild_that_is_asked_for_meanwhile_stays_open(store: ChunkStore) -> None:
    """The rows that stand were made before the request."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    told = until("2020-03-03")
    growth = growing(store, told)
    store.request_rebuild(["2020Q1"], "by hand")
    with store.build(told, growth=growth) as writer:
        writer.write(market("2020-03-03")[2].slice(2))
    why = store.why_not_complete(
        "2020Q1", origin="simulator", first=told.covered_from, last=told.covered_to
    )
    assert why == "a rebuild was requested"


class Killed(BaseException):
    """Ends a build where no handler of errors sees it."""


def die(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("pipeline.dataset.chunk_store.facts_of", "stands as it was"),
        ("pipeline.dataset.chunk_store.require_ours", "stands as it was"),
        ("pipeline.dataset.chunk_store.ChunkStore._publish", "whole but for the last step"),
        ("pipeline.dataset.chunk_store.remove_file", "whole but for the last step"),
        ("pipeline.dataset.chunk_store.ChunkStore._commit", "whole but for the last step"),
    ],
)
def test_a_build_killed_at_any_step_restates_nothing(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, found: str
) -> None:
    """By the next morning the vendor has other values of past days; published rows keep theirs,
    and the result is that of a run nobody disturbed."""
    undisturbed = ChunkStore(tmp_path / "undisturbed", clock)
    for at in (undisturbed, store):
        build(at, until("2020-03-02"), market("2020-03-02"))
    grow(undisturbed, until("2020-03-03"), market("2020-03-03", factor=2.0))
    with monkeypatch.context() as patch:
        patch.setattr(step, die)
        with pytest.raises(Killed):
            grow(store, until("2020-03-03"), market("2020-03-03", factor=2.0))
    assert store.read_status("2020Q1")["state"] == "building"
    told = store.recover("2020Q1")
    assert told is not None
    assert found in told
    assert store.recover("2020Q1") is None
    if found == "stands as it was":
        assert store.read_status("2020Q1")["covered_to"] == "2020-03-02"
        grow(store, until("2020-03-03"), market("2020-03-03", factor=2.0))
    documents = [(s.read_status("2020Q1"), s.metadata("2020Q1")) for s in (undisturbed, store)]
    for one, other in zip(*documents, strict=True):
        own = ("build_id", "last_good")
        assert without(one, *own) == without(other, *own)
    assert store.metadata("2020Q1")["build_id"] == store.read_status("2020Q1")["build_id"]
    assert store.parquet_path("2020Q1").read_bytes() == (
        undisturbed.parquet_path("2020Q1").read_bytes()
    )
    names = {path.name for path in (store.folder / "2020Q1").iterdir()}
    assert names - {"metadata.next.json"} == {"ml_dataset.parquet", "metadata.json", "status.json"}


def test_a_build_that_failed_restates_nothing(store: ChunkStore) -> None:
    """Also not when several failed after each other; a full disk is one cause."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    before = store.parquet_path("2020Q1").read_bytes(), store.read_status("2020Q1")
    told = until("2020-03-03")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), store.build(told):
            raise ZeroDivisionError
        assert store.read_status("2020Q1")["state"] == "failed"
    assert store.recover("2020Q1") == (
        f"stands as it was before its build ended early ({clock().isoformat()})"
    )
    assert (store.parquet_path("2020Q1").read_bytes(), store.read_status("2020Q1")) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda store: store.parquet_path("2020Q1").unlink(),
        lambda store: store.parquet_path("2020Q1").write_bytes(b"PAR1"),
        lambda store: store.metadata_path("2020Q1").write_text("{"),
        lambda store: store.mark_schema_mismatch("2020Q1", "by the gate"),
    ],
)
def test_what_is_not_the_old_build_any_more_is_not_taken_for_it(
    store: ChunkStore, damage: Callable[[ChunkStore], None]
) -> None:
    build(store, until("2020-03-02"), market("2020-03-02"))
    damage(store)
    with pytest.raises(ZeroDivisionError), store.build(until("2020-03-03")):
        raise ZeroDivisionError
    assert store.recover("2020Q1") is None
    assert store.growth(until("2020-03-03"), Layout(), CALENDAR) is None


def test_without_new_rows_those_that_stand_stay(store: ChunkStore) -> None:
    build(store, until("2020-03-02"), market("2020-03-02"))
    before = store.read_status("2020Q1")
    with store.build(until("2020-03-03"), growth=growing(store, until("2020-03-03"))):
        pass
    after = store.read_status("2020Q1")
    assert after["rows"] == before["rows"]
    assert pq.read_table(store.parquet_path("2020Q1")).num_rows == before["rows"]


def edited(kind: str, **fields: Any) -> Callable[[ChunkStore], None]:
    """A document with other content."""

    def change(store: ChunkStore) -> None:
        path = store.folder / "2020Q1" / f"{kind}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def asked(**changes: Any) -> Callable[[ChunkStore], BuildOrder]:
    return lambda _: until("2020-03-03", **changes)


def of_snapshot(ending: str) -> tuple[Input, ...]:
    (entry,) = until("2020-03-03").inputs
    return (replace(entry, key=entry.key + ending),)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edited("status", build_id="1" * 32), "another build"),
        (edited("status", origin="api"), "origin api"),
        (edited("status", parquet_bytes=7), "bytes, recorded 7"),
        (edited("status", schema_hash="0" * 16), "another schema"),
        (edited("status", schema_version="2.0.0"), "another schema"),
        (edited("metadata", encoding="0" * 16), "encoded in another way"),
        (edited("metadata", unavailable=["topix"]), "without topix"),
        (edited("metadata", checked={SOURCE: "2020-01-06T19:00:00+09:00"}), "no row that is final"),
        (lambda store: store.metadata_path("2020Q1").unlink(), "does not exist"),
        (lambda store: store.parquet_path("2020Q1").write_bytes(b"PAR1"), "cannot be read"),
        (asked(code_version="0.2.0"), "made by 0.1.0, this is 0.2.0"),
        (asked(covered_from=dt.date(2020, 1, 7)), "begins 2020-01-06"),
        (asked(covered_to=dt.date(2020, 3, 2)), "ends 2020-03-02"),
        (asked(inputs=of_snapshot("_asof-2020-03-04")), "as-of day or tag"),
        (asked(inputs=of_snapshot("_v1.0.0")), "as-of day or tag"),
    ],
)
def test_when_all_rows_are_made(
    store: ChunkStore, change: Callable[[ChunkStore], BuildOrder | None], why: str
) -> None:
    """Whatever makes the rows that stand doubtful, or foreign to those to be made."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    told = change(store)
    told = told if isinstance(told, BuildOrder) else until("2020-03-03")
    found = store.growth(told, Layout(), CALENDAR)
    assert isinstance(found, str)
    assert why in found


def test_a_chunk_that_is_not_complete_is_nothing_to_go_on_from(store: ChunkStore) -> None:
    """Absent, asked for again, withdrawn by the gate: not worth a word."""
    told = until("2020-03-03")
    assert store.growth(told, Layout(), CALENDAR) is None
    build(store, until("2020-03-02"), market("2020-03-02"))
    assert isinstance(store.growth(told, Layout(), CALENDAR), Growth)
    store.request_rebuild(["2020Q1"], "by hand")
    assert store.growth(told, Layout(), CALENDAR) is None
    build(store, until("2020-03-02"), market("2020-03-02"))
    assert isinstance(store.growth(told, Layout(), CALENDAR), Growth)
    store.mark_schema_mismatch("2020Q1", "x")
    assert store.growth(told, Layout(), CALENDAR) is None


def test_a_calendar_that_has_changed_makes_all_rows(store: ChunkStore) -> None:
    """A session of the chunk is none any more, or one has no rows."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    fewer = TradingCalendar(np.delete(CALENDAR.sessions, 5))
    why = store.growth(until("2020-03-03"), Layout(), fewer)
    assert why == "holds other sessions than the calendar has now"


def test_other_encoding_makes_all_rows(store: ChunkStore) -> None:
    """The layout of now is not the one the chunk was written with."""
    build(store, until("2020-03-02"), market("2020-03-02"))
    other = Layout(repeating=frozenset({"ret_prev_1d"}))
    assert store.growth(until("2020-03-03"), other, CALENDAR) == "is encoded in another way"
