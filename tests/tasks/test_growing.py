"""BuildChunk day by day, over all columns, against one build of all rows."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.features.engine import catalogue
from pipeline.simulator import MarketSpec
from tests.markets import Tables, simulated
from tests.tasks.caches import Builder, fill, put, reading_only

SPEC = MarketSpec(seed=7, stocks=12, start=dt.date(2019, 7, 1), end=dt.date(2020, 12, 30))
BOOKS_FROM = SPEC.start - dt.timedelta(days=max(catalogue.EARLIER_DAYS.values()))
DERIVATIVES_FROM = dt.date(2020, 8, 3)
CHUNK, FIRST = "2020Q4", dt.date(2020, 11, 16)
LATER = "2020-12-02T10:00:00+09:00"  # when a correction arrives


@pytest.fixture(scope="module")
def tables() -> Tables:
    return simulated(SPEC, DERIVATIVES_FROM)


@pytest.fixture(scope="module")
def grown(
    tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Builder, Builder]]:
    """A chunk that grew over the border of a month, and one built at once up to the same day."""
    root = tmp_path_factory.mktemp("grown")
    with reading_only(root, "2020-11-27T08:00") as patch:
        fill(root, tables, BOOKS_FROM, SPEC.end, "2020-11-01T08:00:00+09:00")
        day_by_day = Builder(root, CHUNK, SPEC.start, FIRST, patch)
        for last, morning in (
            (dt.date(2020, 11, 26), "2020-11-27T08:00"),
            (dt.date(2020, 11, 27), "2020-11-30T08:00"),
            (dt.date(2020, 12, 1), "2020-12-02T08:00"),
        ):
            day_by_day.build(last, morning)
        shutil.copytree(root / "cache", root / "whole/cache")
        at_once = replace(day_by_day, root=root / "whole")
        at_once.build(dt.date(2020, 12, 1), "2020-12-02T08:00")
        yield day_by_day, at_once


def test_day_by_day_gives_the_bytes_of_one_build(grown: tuple[Builder, Builder]) -> None:
    """Over the border of a month; documents tell the same as well."""
    documents = [builder.metadata() for builder in grown]
    assert documents[0]["columns"] == catalogue.column_schema().names
    assert grown[0].content() == grown[1].content()
    own = ("build_id", "generated_at", "last_good", "warnings")
    told = [{k: v for k, v in document.items() if k not in own} for document in documents]
    assert told[0] == told[1]
    statuses = [builder.chunks.read_status(CHUNK) for builder in grown]
    assert statuses[0]["inputs"] == statuses[1]["inputs"]
    assert statuses[0]["covered_to"] == "2020-12-01"


def test_a_correction_leaves_what_was_published_and_is_on_record(
    grown: tuple[Builder, Builder], tables: Tables
) -> None:
    """A close of November has changed: November keeps its bytes, the rows of December that were
    there stand, and the day is named; a build of all rows has other values and names none."""
    day_by_day, _ = grown
    path = day_by_day.chunks.parquet_path(CHUNK)
    before, published = day_by_day.content(), pq.read_table(path)
    day = dt.date(2020, 11, 20)
    bars = tables.bars
    close = pc.if_else(
        pc.equal(bars["Date"], pa.scalar(day)), pc.multiply(bars["C"], 1.01), bars["C"]
    )
    corrected = bars.set_column(bars.column_names.index("C"), bars.schema.field("C"), close)
    put(day_by_day.root, "daily_bars", corrected, [day], LATER)

    day_by_day.build(dt.date(2020, 12, 2), "2020-12-03T08:00")
    november = pq.read_metadata(path).row_group(1).column(0).dictionary_page_offset
    assert day_by_day.content()[:november] == before[:november]
    table = pq.read_table(path)
    assert table.slice(0, published.num_rows).equals(published)
    correction = {"source": "daily_bars", "date": str(day), "arrived": LATER}
    assert day_by_day.metadata()["corrections"] == [correction]

    day_by_day.chunks.request_rebuild([CHUNK], "by hand")
    day_by_day.build(dt.date(2020, 12, 2), "2020-12-03T09:00")
    anew = pq.read_table(path)
    assert anew.num_rows == table.num_rows
    assert not anew.slice(0, published.num_rows).equals(published)
    # What is new was made of the corrected close before as well.
    assert anew.slice(published.num_rows).equals(table.slice(published.num_rows))
    assert day_by_day.metadata()["corrections"] == []
