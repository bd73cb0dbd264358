"""Specification of what the gate says of sessions and stocks: every hole by chunk, day and code."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.checks import coverage
from pipeline.checks.coverage import Coverage, keys_digest
from pipeline.checks.schema_gate import Checks, Verdict, judge_all, unchecked
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.parquet.layout import file_sha256
from pipeline.market.calendar.sessions import TradingCalendar
from tests.dataset.builders import build, clock, january, listing, remember_listing, rows

DAYS = january(6, 7, 8, 9, 10)
SPRING = [dt.date(2020, 4, day) for day in (1, 2)]
CODES = ("13010", "13320", "13760")
CALENDAR = TradingCalendar(np.array([*DAYS, *SPRING], "datetime64[D]"))
FACTS = {"covered_from": dt.date(2020, 1, 1), "covered_to": dt.date(2020, 1, 10)}


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    """A chunk of January and one of April, as their listing records say."""
    store = ChunkStore(tmp_path, clock)
    winter = remember_listing(tmp_path, listing(DAYS, CODES), "2020-01")
    build(store, "2020M01", rows(DAYS, CODES), **FACTS, inputs=(winter,))
    spring = remember_listing(tmp_path, listing(SPRING, CODES), "2020-04")
    build(store, "2020M04", rows(SPRING, CODES), inputs=(spring,),
          covered_from=SPRING[0], covered_to=SPRING[-1])  # fmt: skip
    return store


def judged(store: ChunkStore, held: Coverage | None = None) -> dict[str, Verdict]:
    held = held or Coverage(store.folder.parent, CALENDAR)
    found = judge_all(store, store.ids(), None, Checks(keys=True, coverage=held))
    return {verdict.chunk_id: verdict for verdict in found}


def hole(store: ChunkStore, held: Coverage | None = None) -> str:
    """The one hole of January; nothing else is wrong with it, and nothing at all with April."""
    verdicts = judged(store, held)
    assert verdicts["2020M04"].passed
    verdict = verdicts["2020M01"]
    assert not verdict.issues
    assert not verdict.sound
    (line,) = verdict.holes
    assert line in verdict.lines()
    assert "\n" not in line
    return line


def rewrite(store: ChunkStore, change: Callable[[pa.Table], pa.Table]) -> None:
    """Another file under the same names, with everything that is recorded of it made to fit."""
    path = store.parquet_path("2020M01")
    pq.write_table(change(pq.read_table(path)), path)
    table = pq.read_table(path)
    days = table["Date"].to_pylist()
    facts = {
        "rows": table.num_rows,
        "parquet_bytes": path.stat().st_size,
        "parquet_sha256": file_sha256(path),
        "output_start": str(min(days)),
        "output_end": str(max(days)),
    }
    status = store.status_path("2020M01")
    status.write_text(json.dumps(json.loads(status.read_bytes()) | facts))


def without(day: int | None = None, code: str | None = None) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        keep = np.ones(table.num_rows, bool)
        if day is not None:
            keep &= pc.equal(table["Date"], pa.scalar(dt.date(2020, 1, day))).to_numpy()
        if code is not None:
            keep &= pc.equal(table["Code"], pa.scalar(code)).to_numpy()
        return table.filter(pa.array(~keep))

    return change


def test_whole_chunks_pass_and_say_what_they_were_compared_with(store: ChunkStore) -> None:
    """Nothing is unchecked; the receipt names the snapshot."""
    verdict = judged(store)["2020M01"]
    assert verdict.passed
    assert verdict.warnings == ()
    assert verdict.coverage is not None
    assert verdict.coverage["listing"] == "listed_raw_2020-01-06_2020-01-10"
    assert (verdict.coverage["sessions"], verdict.coverage["unchecked"]) == (5, {})
    assert verdict.to_json()["coverage"] == verdict.coverage


@pytest.mark.parametrize("day", [6, 8, 10])
def test_a_removed_session_is_named(store: ChunkStore, day: int) -> None:
    """The first, one inside, the last one."""
    rewrite(store, without(day=day))
    assert hole(store) == (f"1 sessions of 2020-01-01 to 2020-01-10 have no row: 2020-01-{day:02}")


def test_a_removed_stock_is_named_with_day_and_counts(store: ChunkStore) -> None:
    """On one day, and on all of them, of which five are shown."""
    rewrite(store, without(day=8, code="13320"))
    assert hole(store) == (
        "rows are not those of the listing records on 1 sessions: 2020-01-08 has 2 rows, 3 are "
        "listed, missing 13320"
    )
    rewrite(store, without(code="13010"))
    assert "on 5 sessions: 2020-01-06 has 2 rows, 3 are listed, missing 13010; " in hole(store)


def test_an_extra_row_is_named(store: ChunkStore) -> None:
    """A stock that is not listed that day."""

    def extended(table: pa.Table) -> pa.Table:
        more = rows(january(8), ["99990"])
        return pa.concat_tables([table, more]).sort_by(
            [("Date", "ascending"), ("Code", "ascending")]
        )

    rewrite(store, extended)
    assert hole(store).endswith("2020-01-08 has 4 rows, 3 are listed, not among them 99990")


def test_another_stock_in_its_place_is_named(store: ChunkStore) -> None:
    """The number of rows is right."""

    def renamed(table: pa.Table) -> pa.Table:
        codes = pc.replace_substring(table["Code"], "13760", "13770")
        return table.set_column(1, "Code", codes)

    rewrite(store, renamed)
    assert "3 rows, 3 are listed, missing 13760, not among them 13770; 2020-01-07" in hole(store)


def test_rows_shifted_by_a_day_are_named(store: ChunkStore) -> None:
    """The last session is empty, although the number of rows is right."""
    later = {day: january(6, 7, 8, 9)[max(at - 1, 0)] for at, day in enumerate(DAYS)}

    def shifted(table: pa.Table) -> pa.Table:
        days = pa.array([later[day] for day in table["Date"].to_pylist()], pa.date32())
        return table.set_column(0, "Date", days).slice(len(CODES))

    rewrite(store, shifted)
    assert hole(store) == "1 sessions of 2020-01-01 to 2020-01-10 have no row: 2020-01-10"


def test_an_unknown_market_in_the_records_of_the_build_is_a_hole(tmp_path: Path) -> None:
    """A cache from before unknown members were refused: its rows are not *outside the universe*."""
    store = ChunkStore(tmp_path, clock)
    records = pa.concat_tables([listing(DAYS, CODES), listing(DAYS, ["13790"], "0115")])
    records = records.sort_by([("Date", "ascending"), ("Code", "ascending")])
    build(store, "2020M01", rows(DAYS, CODES), **FACTS,
          inputs=(remember_listing(tmp_path, records, "2020-01"),))  # fmt: skip
    (line,) = judged(store)["2020M01"].holes
    assert line.startswith("listed: Mkt '0115' of 13790 on 2020-01-06 and 4 more rows")


def test_stocks_that_lost_their_padding_are_missed(tmp_path: Path) -> None:
    """A chunk built when ``111`` was read as outside the universe lacks the rows."""
    store = ChunkStore(tmp_path, clock)
    lost = listing(january(10), CODES[:2], "111")
    records = pa.concat_tables([listing(DAYS[:4], CODES), lost, listing(january(10), CODES[2:])])
    made = rows(DAYS, CODES).filter(
        pa.array([d < DAYS[4] or c == CODES[2] for d in DAYS for c in CODES])
    )
    build(store, "2020M01", made, **FACTS,
          inputs=(remember_listing(tmp_path, records, "2020-01"),))  # fmt: skip
    (line,) = judged(store)["2020M01"].holes
    assert line.endswith("2020-01-10 has 1 rows, 3 are listed, missing 13010, 13320")


def test_records_corrected_after_the_build_fail_nothing(store: ChunkStore) -> None:
    """The snapshot the chunk was built from is asked, not what came later."""
    root = store.folder.parent
    later = listing(DAYS, [*CODES, "99990"])
    key = root / "cache" / "listed" / "listed_raw_2020-01-06_2020-01-10.json"
    before = key.read_bytes()
    remember_listing(root, later, "2020-01", "2024-07-01T08:00:00+00:00")
    after, _ = key.read_bytes(), key.write_bytes(before)
    assert judged(store)["2020M01"].passed
    key.write_bytes(after)  # the same key, other content: the snapshot of the build is gone
    verdict = judged(store)["2020M01"]
    assert verdict.passed
    (line,) = verdict.warnings
    assert line.startswith("rows are not those of listing records that came after the build on 5")
    assert verdict.coverage is not None
    assert (
        "is not in the cache as the chunk was built from it"
        in (verdict.coverage["unchecked"]["listing"])
    )
    assert verdict.coverage["listing_sha256"] is None


def test_a_corrected_day_of_existing_rows_is_a_warning(store: ChunkStore) -> None:
    """A chunk that grew keeps rows that were made of the earlier records; its metadata say so."""
    rewrite(store, without(day=8, code="13320"))
    path = store.metadata_path("2020M01")
    note = {"source": "listed", "date": "2020-01-08", "arrived": "2020-02-01T08:00:00+09:00"}
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"corrections": [note]}))
    verdict = judged(store)["2020M01"]
    assert verdict.passed
    assert "2020-01-08 has 2 rows, 3 are listed, missing 13320" in verdict.warnings[0]


def test_without_a_cache_nothing_is_pretended(store: ChunkStore) -> None:
    """Each thing that could not be compared is said with its chunks and the reason."""
    root = store.folder.parent
    shutil.rmtree(root / "cache")
    verdicts = judge_all(store, store.ids(), None, Checks(coverage=Coverage(root, None)))
    assert all(verdict.passed for verdict in verdicts)
    lines = list(unchecked(verdicts))
    assert lines[0] == (
        "not checked: sessions of 2020M01, 2020M04: no trading calendar in the cache"
    )
    assert lines[1].startswith(
        "not checked: stocks of 2020M01: snapshot listed_raw_2020-01-06_2020-01-10 is not in the "
        "cache, nor are other"
    )
    assert len(lines) == 3


def test_without_a_calendar_the_listing_still_tells(store: ChunkStore) -> None:
    """Of the days that have rows."""
    rewrite(store, without(day=8, code="13320"))
    assert "missing 13320" in hole(store, Coverage(store.folder.parent, None))


def test_a_calendar_that_does_not_reach_is_said(store: ChunkStore) -> None:
    """Sessions before its first one are not missing, and not checked."""
    late = TradingCalendar(np.array(SPRING, "datetime64[D]"))
    verdict = judged(store, Coverage(store.folder.parent, late))["2020M01"]
    assert verdict.passed
    assert verdict.coverage is not None
    assert verdict.coverage["unchecked"] == {
        "sessions": "the trading calendar in the cache is of 2020-04-01 to 2020-04-02 only"
    }


def test_sessions_between_two_chunks_are_named(store: ChunkStore) -> None:
    """In neither of them; with chosen years only where these are concerned."""
    sessions = [*DAYS, dt.date(2020, 2, 3), dt.date(2020, 3, 2), *SPRING]
    longer = TradingCalendar(np.array(sessions, "datetime64[D]"))
    held = Coverage(store.folder.parent, longer)
    verdicts = judged(store, held)
    assert verdicts["2020M01"].passed
    assert verdicts["2020M04"].sound
    (line,) = verdicts["2020M04"].lines()
    assert line == (
        "begins 2020-04-01, but chunk 2020M01 ends 2020-01-10: 2 sessions between them are in "
        "neither, 2020-02-03, 2020-03-02; build them with --start 2020-02-03 --end 2020-03-02"
    )
    other = Checks(coverage=held, years=(2019,))
    assert all(verdict.passed for verdict in judge_all(store, store.ids(), None, other))


def test_an_answer_counts_for_the_same_keys_and_the_same_records(
    store: ChunkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing is read once per build, however often the gate runs; other rows ask again."""
    first = judged(store)
    earlier = {chunk: verdict.coverage for chunk, verdict in first.items()}
    held = Coverage(store.folder.parent, CALENDAR, earlier)  # type: ignore[arg-type]
    asked: list[str] = []
    read = coverage.member_keys
    monkeypatch.setattr(
        coverage, "member_keys", lambda *given: asked.append("listing") or read(*given)
    )
    assert [verdict.coverage for verdict in judged(store, held).values()] == [*earlier.values()]
    assert asked == []
    rewrite(store, without(day=8, code="13320"))
    assert "missing 13320" in hole(store, held)
    assert asked == ["listing"]


def test_an_earlier_answer_outlives_the_cache(store: ChunkStore) -> None:
    """Rows that were held against the records they were made from need not be held again."""
    earlier = {chunk: verdict.coverage for chunk, verdict in judged(store).items()}
    shutil.rmtree(store.folder.parent / "cache")
    held = Coverage(store.folder.parent, CALENDAR, earlier)  # type: ignore[arg-type]
    assert list(unchecked(judged(store, held).values())) == []


def test_the_digest_is_of_dates_and_codes_alone() -> None:
    """However they are cut, and whichever of them changes."""
    keys = rows(DAYS, CODES).select(["Date", "Code"])
    cut = pa.concat_tables([keys.slice(0, 4), keys.slice(4)])
    assert keys_digest(cut) == keys_digest(keys)
    other = rows([*DAYS[:4], dt.date(2020, 1, 11)], CODES).select(["Date", "Code"])
    assert len({keys_digest(t) for t in (keys, other, keys.slice(1), keys.slice(0, 14))}) == 4
    moved = pa.table({"Date": keys["Date"][:2], "Code": ["130101", "3320"]})
    kept = pa.table({"Date": keys["Date"][:2], "Code": ["13010", "13320"]})
    assert keys_digest(moved) != keys_digest(kept)
