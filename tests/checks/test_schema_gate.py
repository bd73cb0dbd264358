"""Specification of the gate's judgement: whatever is wrong with a chunk is one line of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import manifest as m
from pipeline.checks.schema_gate import Checks, Verdict, judge_all
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.features.engine import catalogue
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.planning import run_plan
from tests.dataset.builders import COLUMNS, build, clock, documents, january, order, rows

MANIFEST = m.Manifest("1.0.0", "2024-06-03T08:00:00Z", "test", COLUMNS)
KEYS = Checks(keys=True)
SPRING = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    """Two good quarters."""
    store = ChunkStore(tmp_path, clock)
    build(store, "2020Q1", rows(january(6, 7)), rows([dt.date(2020, 2, 3)]))
    build(store, "2020Q2", rows([dt.date(2020, 4, 1)]), **SPRING)
    return store


def judged(
    store: ChunkStore, checks: Checks = KEYS, manifest: m.Manifest | None = MANIFEST
) -> dict[str, Verdict]:
    return {v.chunk_id: v for v in judge_all(store, store.ids(), manifest, checks)}


def line_of(store: ChunkStore, chunk_id: str = "2020Q1", checks: Checks = KEYS) -> str:
    """The one thing found in a chunk; the other one is good, and nothing was changed."""
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    verdicts = judged(store, checks)
    assert {path: path.read_bytes() for path in before} == before
    assert [v.chunk_id for v in verdicts.values() if not v.passed] == [chunk_id]
    (line,) = verdicts[chunk_id].lines()
    assert "\n" not in line
    return line


def edit(store: ChunkStore, chunk_id: str = "2020Q1", **changes: Any) -> None:
    path = store.status_path(chunk_id)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def replace_file(store: ChunkStore, table: pa.Table, chunk_id: str = "2020Q1", **how: Any) -> None:
    """Another file under the same status, which is told its size, rows and dates."""
    path = store.parquet_path(chunk_id)
    pq.write_table(table, path, **how)
    days = table["Date"].to_pylist() if "Date" in table.column_names else []
    dates = {"output_start": str(min(days)), "output_end": str(max(days))} if days else {}
    edit(store, chunk_id, rows=table.num_rows, parquet_bytes=path.stat().st_size, **dates)


def test_good_chunks_pass(store):
    """Rows, dates and hash are those of the file; there is nothing to say."""
    calendar = TradingCalendar(np.arange("2020-01-01", "2020-07-01", dtype="datetime64[D]"))
    verdicts = judged(store, Checks(keys=True, calendar=calendar, sha256=True))
    seen = verdicts["2020Q1"]
    assert (seen.rows, seen.first, seen.last) == (6, dt.date(2020, 1, 6), dt.date(2020, 2, 3))
    assert seen.schema_hash == MANIFEST.schema_hash
    assert [v.lines() + v.warnings for v in verdicts.values()] == [(), ()]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b'{"chunk_id": "2020Q1", "sta', "cut off"),
        (b'{"name": "another program"}', "does not fit its schema"),
        (json.dumps(documents()["status"] | {"state": "running"}).encode(), "'running' is not one"),
        (json.dumps(documents()["status"] | {"chunk_id": "2020Q3"}).encode(), "belongs to chunk"),
    ],
)
def test_a_bad_status(store, content, told):
    """Missing, empty, truncated, foreign, of an unknown state, of another chunk."""
    path = store.status_path("2020Q1")
    path.unlink() if content is None else path.write_bytes(content)
    assert told in line_of(store)


@pytest.mark.parametrize("state", ["building", "failed", "failed_schema_mismatch"])
def test_a_chunk_that_is_not_completed(store, state):
    """The state and its reason; its file is looked at all the same."""
    if state == "building":
        with store.build(order()):
            assert "unfinished build since 2024-06-03" in line_of(store)
            assert judged(store)["2020Q1"].rows == 6
        return
    error = {"type": "StorageError", "message": "no such thing", "hint": ""}
    edit(store, state=state, error=error)
    assert line_of(store) == f"{state}: no such thing"
    assert judged(store)["2020Q1"].rows == 6


@pytest.mark.parametrize(("size", "told"), [(0, "cannot be read"), (400, "cannot be read")])
def test_a_parquet_file_cut_off(store, size, told):
    """Zero bytes, or the first part of it."""
    os.truncate(store.parquet_path("2020Q1"), size)
    assert told in line_of(store)


def test_a_parquet_file_that_is_gone(store):
    """The status alone is no chunk."""
    store.parquet_path("2020Q1").unlink()
    assert line_of(store) == "the Parquet file is missing"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (rows(january(6)).drop_columns(["is_traded"]), "missing column 'is_traded' (Int8)"),
        (
            rows(january(6)).append_column("more", pa.array([1.0, 2.0], pa.float32())),
            "extra column 'more' (Float32)",
        ),
        (
            rows(january(6)).set_column(3, "is_traded", pa.array([0, 1], pa.int64())),
            "column 'is_traded': expected dtype Int8, found Int64",
        ),
        (
            rows(january(6)).select(["Date", "Code", "is_traded", "ret_prev_1d", "sector"]),
            "column order: 2 out of place: 'is_traded', 'ret_prev_1d'",
        ),
        (
            rows(january(6)).set_column(0, "Date", pa.array(["2020-01-06"] * 2)),
            "column 'Date': expected dtype Date, found String",
        ),
    ],
    ids=["missing", "extra", "type", "order", "key type"],
)
def test_columns_that_are_not_the_agreed_ones(store, table, told):
    """Wrong columns, wrong order, wrong type: by name, with expected and found."""
    path = store.parquet_path("2020Q1")
    pq.write_table(table, path)
    edit(store, rows=2, parquet_bytes=path.stat().st_size, output_start=None, output_end=None)
    lines = judged(store)["2020Q1"].lines()
    assert told in lines
    assert judged(store)["2020Q2"].passed


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parquet_bytes": 7}, "bytes, recorded 7"),
        ({"rows": 5}, "6 rows in the file, 5 recorded"),
        ({"output_end": "2020-01-07"}, "dates 2020-01-06 to 2020-02-03 in the file, 2020-01-06 to"),
        ({"covered_to": "2020-01-31"}, "outside the declared 2020-01-01 to 2020-01-31"),
        ({"schema_hash": "0" * 16}, "in the file, 0000000000000000 recorded"),
    ],
)
def test_a_file_that_is_not_what_the_status_says(store, changes, told):
    """Size, rows, dates, declared range, hash: seen in the footer."""
    edit(store, **changes)
    assert told in line_of(store, checks=Checks())


def test_a_changed_byte_is_found_on_request(store):
    """Same size, same footer: only reading the file whole can tell."""
    path = store.parquet_path("2020Q1")
    content = bytearray(path.read_bytes())
    content[4] ^= 1
    path.write_bytes(content)
    assert judged(store, Checks())["2020Q1"].passed
    assert "sha256 differs" in line_of(store, checks=Checks(sha256=True))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (rows(january(6, 7)).take([0, 0, 1, 2]), "2020-01-06 13010 stands twice"),
        (rows(january(6, 7)).take([2, 3, 0, 1]), "2020-01-06 13010 stands out of order"),
        (rows(january(6), ("1301", "13010")), "1 codes are no security codes, first '1301'"),
        (rows([*january(6), dt.date(2020, 2, 3)]), "expected one month"),
    ],
    ids=["twice", "order", "code", "month"],
)
def test_keys_out_of_order(store, table, told):
    """Seen when the keys are read; the footer does not show it."""
    replace_file(store, table)
    assert judged(store, Checks())["2020Q1"].passed
    assert told in line_of(store)


def test_a_date_on_which_the_exchange_was_closed(store):
    """Dates are held against the trading calendar."""
    calendar = TradingCalendar(
        np.array(["2020-01-06", "2020-02-03", "2020-04-01"], "datetime64[D]")
    )
    told = line_of(store, checks=Checks(keys=True, calendar=calendar))
    assert told == "1 dates are no trading days, first 2020-01-07"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist"),
        (b"{", "cut off"),
        (b'{"chunk_id": "2020Q2", "build_id": 1, "warnings": []}', "does not fit its schema"),
    ],
)
@pytest.mark.parametrize("checks", [Checks(), KEYS], ids=["quick", "whole"])
def test_bad_metadata(store, content, told, checks):
    """Missing, truncated or foreign, however quickly they are read."""
    path = store.metadata_path("2020Q1")
    path.unlink() if content is None else path.write_bytes(content)
    assert told in line_of(store, checks=checks)


@pytest.mark.parametrize("checks", [Checks(), KEYS], ids=["quick", "whole"])
def test_metadata_of_another_build(store, checks):
    """A chunk whose files were mixed by hand."""
    path = store.metadata_path("2020Q1")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"build_id": "f" * 32}))
    assert "does not belong to the build" in line_of(store, checks=checks)


def test_two_chunks_with_the_same_dates(store):
    """The later one is named with the earlier; neither is at fault alone."""
    build(store, "2020M02", rows([dt.date(2020, 2, 3)]))
    line = line_of(store, "2020M02")
    assert line.startswith("begins 2020-02-03, but chunk 2020Q1 ends 2020-02-03")
    assert judged(store)["2020M02"].sound


def test_a_chunk_inside_another_is_found_behind_a_third(store):
    """Not only neighbours are compared."""
    build(store, "2020M01-12", rows(january(6)), rows([dt.date(2020, 12, 1)]),
          covered_to=dt.date(2020, 12, 31))  # fmt: skip
    conflicts = {chunk: v.conflicts for chunk, v in judged(store).items() if v.conflicts}
    assert "2020Q2" in conflicts
    assert "chunk 2020M01-12 ends 2020-12-01" in conflicts["2020Q2"][0]


def test_a_chunk_of_another_origin(store):
    """Named with what the others have."""
    build(store, "2020Q3", rows([dt.date(2020, 7, 1)]), origin="api",
          covered_from=dt.date(2020, 7, 1), covered_to=dt.date(2020, 9, 30))  # fmt: skip
    assert line_of(store, "2020Q3") == "has origin api, 2 of the others simulator"


@pytest.mark.parametrize(("name", "role"), [("ret_prev_1d", "label"), ("label_ret_1d", "feature")])
def test_a_label_is_refused_by_its_role_or_its_name(tmp_path, name, role):
    """With the agreed name it has the same schema hash; the manifest need not even be asked. A
    chunk that passed before it does not vouch for it."""
    columns = [
        m.Column(name, c.dtype, role=role) if c.name == "ret_prev_1d" else c for c in COLUMNS
    ]
    store = ChunkStore(tmp_path, clock)
    build(store, "2020Q1", rows(january(6)))
    schema = m.arrow_schema(columns, "1.0.0")
    table = rows([dt.date(2020, 4, 1)]).rename_columns(schema.names).cast(schema)
    build(store, "2020Q2", table, schema=schema, **SPRING)
    for manifest in (MANIFEST, None):
        verdicts = judged(store, Checks(), manifest)
        assert f"holds labels, which are never inputs: '{name}'" in verdicts["2020Q2"].issues
        assert "holds labels" not in " ".join(verdicts["2020Q1"].lines())
    if name == "ret_prev_1d":
        assert verdicts["2020Q2"].schema_hash == MANIFEST.schema_hash
        (line,) = judged(store, Checks())["2020Q2"].violations.lines()
        assert line == "column 'ret_prev_1d': expected role feature, found label"


def test_chunks_of_different_schemas_are_told_without_a_manifest(store):
    """They could not be merged whatever was agreed."""
    other = m.arrow_schema([*COLUMNS, m.Column("more", "Float32")], "1.0.0")
    table = rows([dt.date(2020, 7, 1)]).append_column("more", pa.array([1, 2], pa.float32()))
    build(store, "2020Q3", table, schema=other, covered_from=dt.date(2020, 7, 1),
          covered_to=dt.date(2020, 9, 30))  # fmt: skip
    verdicts = judged(store, Checks(), None)
    (line,) = verdicts["2020Q3"].lines()
    found = m.schema_hash(m.columns_of(other))
    assert line == f"has schema hash {found}, 2 of the others {MANIFEST.schema_hash}"


def test_warnings_of_the_build_are_passed_on(store):
    """They do not fail the gate, and stand in the report."""
    with store.build(order(ranges={"is_traded": (0, 0)})) as writer:
        writer.write(rows(january(6)))
    verdict = judged(store)["2020Q1"]
    assert verdict.passed
    assert verdict.warnings == ("values outside their range in 1 column: is_traded [0, 0]",)
    assert verdict.to_json()["warnings"] == list(verdict.warnings)


def test_a_file_without_a_date_column_has_no_dates(store):
    """Nothing else is made of it."""
    path = store.parquet_path("2020Q1")
    pq.write_table(pa.table({"x": [1]}), path)
    verdict = judged(store)["2020Q1"]
    assert verdict.first is None
    assert "missing column 'Date' (Date)" in verdict.lines()


def polars_hash(path: Path) -> str:
    """The contract as its first users read it: name:dtype pairs, the names those of Polars."""
    pairs = [f"{name}:{dtype}" for name, dtype in pl.read_parquet(path).schema.items()]
    return hashlib.sha256(";".join(pairs).encode()).hexdigest()[:16]


def test_the_hash_is_that_of_the_names_polars_gives(store):
    """For a chunk, and for all the columns of the catalogue against the shipped manifest."""
    path = store.parquet_path("2020Q1")
    assert polars_hash(path) == judged(store)["2020Q1"].schema_hash == MANIFEST.schema_hash
    pq.write_table(catalogue.column_schema().empty_table(), path)
    assert polars_hash(path) == run_plan.load_manifest().schema_hash


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t.set_column(2, "ret_prev_1d", t["ret_prev_1d"].cast(pa.float64())),
        lambda t: t.set_column(4, "sector", t["sector"].cast(pa.string())),
        lambda t: t.select([0, 1, 3, 2, 4]),
        lambda t: t.drop_columns("is_traded"),
        lambda t: t.append_column("more", t["is_traded"]),
        lambda t: t.rename_columns(["Date", "Code", "ret_prev_1d", "is_trade", "sector"]),
    ],
    ids=["good", "wider", "plain text", "order", "missing", "extra", "renamed"],
)
def test_the_verdict_is_that_of_a_comparison_in_polars(store, change):
    """A chunk differs from the manifest exactly when its Polars hash is not the manifest's."""
    replace_file(store, change(rows(january(6, 7))))
    seen = judged(store)["2020Q1"]
    assert bool(seen.violations) == (
        polars_hash(store.parquet_path("2020Q1")) != MANIFEST.schema_hash
    )
    assert seen.schema_hash == polars_hash(store.parquet_path("2020Q1"))
