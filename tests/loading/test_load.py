"""``pipeline.load``: what pyarrow reads, from fewer bytes, and never a label unasked."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline
from pipeline.dataset.parquet.row_reader import RowsFile, Wanted
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData, PipelineError, StorageError, UsageError
from pipeline.loading import column_selection as selection
from tests.loading.conftest import (
    CODES,
    COLUMNS,
    LABEL_SCHEMA,
    LABELS,
    QUARTERS,
    SCHEMA,
    month,
    sessions,
    write_calendar,
    write_dataset,
    write_labels,
)

FEATURES = [column.name for column in COLUMNS[2:]]
FIRST, LAST = dt.date(2024, 1, 4), dt.date(2024, 6, 28)
DAYS = st.dates(FIRST - dt.timedelta(20), LAST + dt.timedelta(20))


def by_hand(
    root: Path,
    columns: list[str],
    first: dt.date = FIRST,
    last: dt.date = LAST,
    codes: Any = CODES,
) -> pa.Table:
    """The same rows by pyarrow alone."""
    where = (pc.field("Date") >= first) & (pc.field("Date") <= last)
    where &= pc.field("Code").isin(pa.array(codes, pa.string()))
    path = DatasetStore(root).latest_path.resolve()
    return ds.dataset(path).to_table(columns=["Date", "Code", *columns], filter=where)


def same(table: pa.Table, other: pa.Table) -> bool:
    """Equal in names, types and values; whether a field may be null is not compared."""
    typed = [[(field.name, field.type) for field in one.schema] for one in (table, other)]
    return typed[0] == typed[1] and all(
        table[name].equals(other[name]) for name in table.column_names
    )


def all_labels() -> pa.Table:
    return pa.concat_tables(
        [month(LABEL_SCHEMA, number) for months in QUARTERS.values() for number in months]
    )


def said(call: Any) -> str:
    with pytest.raises(PipelineError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    first=DAYS,
    last=DAYS,
    columns=st.lists(st.sampled_from(FEATURES), unique=True),
    codes=st.lists(st.sampled_from([*CODES, "99999"]), unique=True),
    labels=st.lists(st.sampled_from(list(LABELS)), unique=True),
)
def test_any_range_columns_and_codes_are_what_pyarrow_reads(
    root: Path, first: dt.date, last: dt.date, columns: Any, codes: Any, labels: Any
) -> None:
    """As Arrow, month by month, as pandas, and as Polars, lazily or not; labels joined by key."""

    def load(**form: Any) -> Any:
        return pipeline.load(
            first, last, columns=columns, codes=codes, labels=labels, root=root, **form
        )

    if first > last:
        assert "is after end" in said(load)
        return
    if last < FIRST or first > LAST:
        assert "2024-01-04 to 2024-06-28" in said(load)
        return
    expected = by_hand(root, columns, first, last, codes)
    if labels:
        beside = all_labels().select(["Date", "Code", *labels])
        keys = [("Date", "ascending"), ("Code", "ascending")]
        expected = expected.join(beside, ["Date", "Code"], join_type="inner").sort_by(keys)
    table = load(format="arrow")
    assert same(table, expected)
    reader = load(format="arrow", lazy=True)
    assert same(reader.read_all(), expected)
    frame = load(format="polars")
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect().equals(load(format="polars", lazy=False))
    assert frame.collect().rows() == [tuple(row.values()) for row in expected.to_pylist()]
    pandas = load()
    back = pa.Table.from_pandas(pandas, schema=expected.schema.remove_metadata())
    assert same(back, expected)


def test_without_arguments_it_is_the_whole_dataset(root: Path) -> None:
    """Every feature column in its order, and no label."""
    table = pipeline.load(root=root, format="arrow")
    assert same(table, pq.read_table(root / "ml_dataset_latest_full.parquet"))
    assert not [name for name in table.column_names if name.startswith("label")]


def test_pandas_gets_types_that_keep_nulls(root: Path) -> None:
    """Integers stay integers although some are null; dates are times; floats have NaN."""
    frame = pipeline.load("2024-02-01", "2024-03-29", root=root, labels=True)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds["is_traded"] == "Int8"
    assert kinds["listing_age_td"] == "Int16"
    assert kinds["rsi_2"] == kinds["label_ret_cc_1d"] == "float32"
    assert kinds["Date"].startswith("datetime64")
    assert frame["is_traded"].isna().any()
    assert (frame["Code"] == "130A0").sum() == frame["Date"].nunique()
    assert frame["Date"].max() == pd.Timestamp("2024-03-29")


@pytest.mark.parametrize(
    ("wanted", "columns"),
    [
        ("rsi_2", ["rsi_2"]),
        (["rsv_20d", "ret_prev_1d", "rsv_20d"], ["rsv_20d", "ret_prev_1d"]),
        ("rsi_*", ["rsi_2", "rsi_14"]),
        ("family:oscillator", ["rsi_2", "rsi_14"]),
        (["is_traded", "family:price_return", "*_20d"], ["is_traded", "ret_prev_1d", "rsv_20d"]),
        (["Date", "Code", "rsi_2"], ["rsi_2"]),
        ([], []),
        (None, FEATURES),
    ],
)
def test_columns_by_name_family_and_pattern(root: Path, wanted: Any, columns: list[str]) -> None:
    """In the order asked for, each once, behind the keys."""
    table = pipeline.load("2024-06-28", columns=wanted, root=root, format="arrow")
    assert table.column_names == ["Date", "Code", *columns]


def test_only_the_row_groups_of_the_range_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six months two; the bytes of all others may be anything."""
    read = []

    class Counted(pq.ParquetFile):
        def read_row_group(self, number: int, columns: Any = None, **options: Any) -> pa.Table:
            read.append((number, columns))
            return super().read_row_group(number, columns, **options)

    monkeypatch.setattr(pq, "ParquetFile", Counted)
    table = pipeline.load("2024-03-15", "2024-04-10", columns="rsi_2", root=root, format="arrow")
    assert read == [(number, ["Date", "Code", "rsi_2"]) for number in (2, 3)]
    assert table["Date"][0].as_py() == dt.date(2024, 3, 15)
    read.clear()
    reader = pipeline.load(columns="rsi_2", root=root, format="arrow", lazy=True)
    assert read == []
    reader.read_next_batch()
    assert [number for number, _ in read] == [0]
    read.clear()
    assert not pipeline.load(codes="99999", root=root, format="arrow").num_rows
    assert read == []  # beyond the highest code of every row group


def test_damage_outside_what_is_asked_is_not_met(root: Path, tmp_path: Path) -> None:
    """Bytes of other months and columns are overwritten; what is asked for comes as it was, and
    lazily in Polars too. Asking for them fails in one line."""
    write_dataset(tmp_path)
    path = DatasetStore(tmp_path).latest_path.resolve()
    metadata = pq.read_metadata(path)
    content = bytearray(path.read_bytes())
    kept = {"Date", "Code", "rsi_2"}
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            if group != 3 or chunk.path_in_schema not in kept:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                content[start : start + chunk.total_compressed_size] = (
                    b"\xff" * chunk.total_compressed_size
                )
    path.unlink()
    path.write_bytes(content)
    asked: dict[str, Any] = {"start": "2024-04-01", "end": "2024-04-30", "columns": "rsi_2"}
    expected = by_hand(root, ["rsi_2"], dt.date(2024, 4, 1), dt.date(2024, 4, 30))
    assert same(pipeline.load(**asked, root=tmp_path, format="arrow"), expected)
    frame = pipeline.load(**asked, root=tmp_path, format="polars").collect()
    assert frame.equals(pl.from_arrow(expected))
    with pytest.raises(StorageError, match=f"{path.name}: cannot be read.*merge again"):
        pipeline.load("2024-04-01", "2024-04-30", columns="rsi_14", root=tmp_path)


def test_what_is_not_there_is_told_with_the_nearest(root: Path) -> None:
    """One line for all of them; families and labels likewise."""
    wrong = said(lambda: pipeline.load(columns=["rsi_15", "rsv_20", "xx_*"], root=root))
    assert "'rsi_15' (did you mean rsi_14" in wrong
    assert "'rsv_20' (did you mean rsv_20d" in wrong
    assert "'xx_*'" in wrong
    assert "did you mean family:oscillator" in said(
        lambda: pipeline.load(columns="family:oscilator", root=root)
    )
    assert "did you mean label_ret_oo_5d" in said(
        lambda: pipeline.load(labels="label_ret_oo_4d", root=root)
    )
    many = said(lambda: pipeline.load(columns=[f"rsi_9{i}" for i in range(8)], root=root))
    assert "and 3 more" in many


@pytest.mark.parametrize("name", ["label_ret_oo_5d", "label_*", "label_of_nothing"])
def test_a_label_is_no_feature(root: Path, name: str) -> None:
    """Named among the columns it is refused with the right way; asked for as such it comes last."""
    line = said(lambda: pipeline.load(columns=["rsi_2", name], root=root))
    assert "knows the future" in line
    assert f"labels=['{name}']" in line


def test_a_label_that_is_asked_for_may_be_named_twice(root: Path) -> None:
    """The list of a model's columns and its target in one."""
    asked = {"columns": ["rsi_2", "label_ret_oo_5d"], "labels": "label_ret_oo_5d"}
    table = pipeline.load("2024-06-28", root=root, format="arrow", **asked)
    assert table.column_names == ["Date", "Code", "rsi_2", "label_ret_oo_5d"]


def test_wrong_use_is_one_line_with_a_way_on(root: Path, tmp_path: Path) -> None:
    """Each says what there is, or what to do."""
    wrong: dict[str, dict[str, Any]] = {
        "no dataset in .*run BuildAll, or name its folder by root=": {"root": tmp_path},
        "start 2024-03-02 is after end 2024-03-01": {"start": "2024-03-02", "end": "2024-03-01"},
        r"no rows from 2025-01-01 to \.\.\. .*has 2024-01-04 to 2024-06-28": {
            "start": dt.date(2025, 1, 1)
        },
        "start 'June': expected a day": {"start": "June"},
        "as_of 'now': expected a day or time": {"as_of": "now"},
        "format 'csv': expected one of pandas, polars, arrow": {"format": "csv"},
        "a pandas frame is always in memory": {"lazy": True},
        "security code '7203': expected 5": {"codes": "7203"},
        "dataset 'none'.*there are: ml_dataset_20240104_20240628": {"dataset": "none"},
        r"no row from 2024-01-04 on was decided by then": {"as_of": "2024-01-04"},
        "the last decided one is of 2024-02-29": {"start": "2024-03-04", "as_of": "2024-03-01"},
    }
    for pattern, arguments in wrong.items():
        with pytest.raises(PipelineError, match=pattern):
            pipeline.load(**({"root": root} | arguments))


def test_a_range_without_sessions_has_no_rows(root: Path) -> None:
    """A weekend within the dataset: all columns, no rows."""
    frame = pipeline.load("2024-06-01", "2024-06-02", root=root, labels=True)
    assert len(frame) == 0
    assert list(frame.columns) == ["Date", "Code", *FEATURES, *LABELS]
    lazy = pipeline.load("2024-06-01", "2024-06-02", root=root, labels=True, format="polars")
    assert lazy.collect().shape == (0, len(frame.columns))


@pytest.mark.parametrize(
    ("as_of", "last"),
    [
        ("2024-06-24", "2024-06-21"),  # a Monday at 08:00: Friday's row
        ("2024-06-24T07:59", "2024-06-20"),
        (dt.datetime(2024, 6, 23, 23, 0, tzinfo=dt.UTC), "2024-06-21"),  # 08:00 JST
        (dt.date(2024, 6, 23), "2024-06-20"),
        (pd.Timestamp("2024-05-06 12:00"), "2024-05-01"),  # closed: the 2nd waits for the 7th
        (np.datetime64("2024-05-07"), "2024-05-02"),
        ("2024-07-01", "2024-06-28"),  # the calendar knows the session after the last row
        ("2024-06-30", "2024-06-27"),
        ("2031-01-01", "2024-06-28"),
    ],
)
def test_as_of_leaves_the_rows_decided_by_then(root: Path, as_of: Any, last: str) -> None:
    """08:00 JST on the session after T, in every form of the result."""
    for form in ("arrow", "polars"):
        table = pipeline.load(columns=[], as_of=as_of, root=root, format=form, lazy=False)
        assert str(table["Date"].to_numpy().max())[:10] == last


@pytest.mark.parametrize("as_of", ["2024-04-01", "2024-04-01T16:29", "2024-04-01T16:30"])
def test_a_label_is_null_until_its_exit_is_over(root: Path, as_of: str) -> None:
    """16:30 JST of session T + n, counted by hand; what is known is what it is without as_of."""
    days = sessions()
    moment = dt.datetime.fromisoformat(as_of)
    if len(as_of) == 10:
        moment = moment.replace(hour=8)
    tables = [
        pipeline.load(columns=[], labels=True, as_of=as_of, root=root, format=form, lazy=lazy)
        for form, lazy in (("arrow", False), ("polars", True), ("polars", False))
    ]
    frames = [pl.from_arrow(tables[0]), tables[1].collect(), tables[2]]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])
    truth = {(row["Date"], row["Code"]): row for row in all_labels().to_pylist()}
    opened = hidden = 0
    for row in tables[0].to_pylist():
        for name, ahead in LABELS.items():
            leaving = days[days.index(row["Date"]) + ahead]
            known = dt.datetime.combine(leaving, dt.time(16, 30)) <= moment
            expected = truth[row["Date"], row["Code"]][name] if known else None
            assert row[name] == expected
            opened, hidden = opened + known, hidden + (not known)
    assert opened > 500
    # Decided is the row of the 29th; its next close is known on the 1st at 16:30, and not before.
    assert hidden == len(CODES) * (5 if as_of.endswith("16:30") else 7)


def test_without_a_calendar_nothing_is_known_too_early(root: Path, tmp_path: Path) -> None:
    """The dataset's own sessions are counted; its last row waits for the longest closure."""
    write_dataset(tmp_path)
    write_labels(tmp_path, *QUARTERS)

    def last(as_of: str) -> str:
        table = pipeline.load(columns=[], as_of=as_of, root=tmp_path, format="arrow")
        return str(pc.max(table["Date"]))

    assert last("2024-06-24") == "2024-06-21"
    assert last("2024-07-08") == "2024-06-27"
    assert last("2024-07-09") == "2024-06-28"
    open_end = pipeline.load("2024-06-28", labels=True, as_of="2024-07-31", root=tmp_path)
    assert open_end["label_ret_cc_1d"].isna().all()
    write_calendar(tmp_path)
    assert last("2024-07-01") == "2024-06-28"
    now = pipeline.load("2024-06-28", labels=True, as_of="2024-07-31", root=tmp_path)
    assert now["label_ret_cc_1d"].notna().any()


def test_labels_of_other_rows_are_joined_by_key(root: Path, tmp_path: Path) -> None:
    """A row without a label has null; a chunk without labels is refused; so is no table at all."""
    write_dataset(tmp_path)
    assert "labels" in said(lambda: pipeline.load(labels=True, root=tmp_path))
    write_labels(tmp_path, "2024Q1")
    with pytest.raises(MissingData, match="labels: none from 2024-04-01 on.*run BuildLabels"):
        pipeline.load(labels=True, root=tmp_path)
    whole = pipeline.load(end="2024-03-31", labels=True, root=tmp_path, format="arrow")
    part = tmp_path / "labels" / "2024Q1.parquet"
    table = pq.read_table(part)
    few = table.filter(pc.not_equal(table["Code"], "72030"))
    part.unlink()
    pq.write_table(few, part, row_group_size=7)
    for form in ("arrow", "polars"):
        joined = pipeline.load(
            end="2024-03-31", labels=True, root=tmp_path, format=form, lazy=False
        )
        joined = joined if form == "arrow" else joined.to_arrow()
        assert joined.num_rows == whole.num_rows
        for name in LABELS:
            gone = pc.equal(whole["Code"], "72030")
            expected = pc.if_else(gone, pa.scalar(None, pa.float32()), whole[name])
            assert joined[name].to_pylist() == expected.to_pylist()


def test_a_kept_dataset_by_name(tmp_path: Path) -> None:
    """The latest has another quarter; the older one is read as it was, with or without ending."""
    write_dataset(tmp_path)
    older = DatasetStore(tmp_path).latest_path.resolve()
    store = DatasetStore(tmp_path, clock=lambda: dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    from pipeline.dataset.chunk_store import ChunkStore

    store.merge(ChunkStore(tmp_path), ["2024Q2"])
    assert str(pipeline.load(root=tmp_path)["Date"].min())[:10] == "2024-04-01"
    for name in (older.name, older.stem):
        table = pipeline.load(root=tmp_path, dataset=name, format="arrow")
        assert same(table, pq.read_table(older))


FRESH = """
import multiprocessing, os, signal, sys
import pipeline
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
frame = pipeline.load("2024-06-03", columns=["rsi_2"], labels="label_ret_cc_1d", as_of="2024-06-20")
assert "luigi" not in sys.modules and "pipeline.tasks" not in sys.modules
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
assert multiprocessing.get_start_method(allow_none=True) is None
print(len(frame), sorted(set(frame.columns)))
"""


def test_a_notebook_stays_as_it_is(root: Path) -> None:
    """In a fresh process: no Luigi, no start method set, signal handlers untouched; the root comes
    from the environment. The tasks can still be had."""
    environment = os.environ | {"DATA_OUTPUT_DIR": str(root)}
    told = subprocess.run(
        [sys.executable, "-c", FRESH], env=environment, text=True, capture_output=True, check=True
    )
    assert told.stdout.strip() == (
        f"{13 * len(CODES)} ['Code', 'Date', 'label_ret_cc_1d', 'rsi_2']"
    )


def test_the_months_of_a_file_are_as_they_were_written(root: Path) -> None:
    """One table per row group, with the roles of its fields."""
    with closing(RowsFile(DatasetStore(root).latest_path)) as file:
        months = list(file.months(FEATURES, Wanted()))
        assert [table.schema for table in months] == [file.fields(FEATURES)] * 6
    assert all(same(table, month(SCHEMA, n)) for n, table in enumerate(months, 1))


def test_a_family_nobody_asks_for_is_not_loaded() -> None:
    """The catalogue takes a second to import; plain names do without."""

    def families() -> Any:
        raise AssertionError

    assert selection.features_of(["a*", "b"], ["Date", "Code", "a1", "b"], families) == ["a1", "b"]
    with pytest.raises(UsageError):
        selection.features_of("family:x", ["a1"], lambda: {"y": ("a1",)})
