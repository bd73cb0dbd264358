"""A small output root made by the real stores: two quarters, labels, a trading calendar."""

from __future__ import annotations

import datetime as dt
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import manifest as m
from pipeline.cache.parts import Day, Selection
from pipeline.cache.snapshots import SnapshotStore, snapshot_key
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore, PartOrder
from pipeline.dataset.publication import DatasetStore
from pipeline.features.labels.label_values import definition_hash
from tests.dataset.builders import BUILD, build

QUARTERS = {"2024Q1": (1, 2, 3), "2024Q2": (4, 5, 6)}
CODES = ("13010", "130A0", "72030", "86970", "99840")
COLUMNS = (
    m.Column("Date", "Date", nullable=False, role="key"),
    m.Column("Code", "String", nullable=False, role="key"),
    m.Column("ret_prev_1d", "Float32"),
    m.Column("is_traded", "Int8"),
    m.Column("listing_age_td", "Int16"),
    m.Column("rsi_2", "Float32"),
    m.Column("rsi_14", "Float32"),
    m.Column("rsv_20d", "Float32"),
)
SCHEMA = m.arrow_schema(COLUMNS, "1.0.0")
LABELS = {"label_ret_cc_1d": 1, "label_ret_oo_5d": 6}
LABEL_SCHEMA = m.arrow_schema(
    [*COLUMNS[:2], *(m.Column(name, "Float32", role="label") for name in LABELS)], "1.0.0"
)
#: Closed although a weekday: the session after 2024-05-02 is 2024-05-07.
CLOSED = ("2024-05-03", "2024-05-06")


def sessions(first: str = "2024-01-04", last: str = "2024-08-01") -> list[dt.date]:
    """Weekdays but the closed ones, ``last`` excluded."""
    days = np.arange(first, last, dtype="datetime64[D]")
    open_days = days[np.is_busday(days, holidays=list(CLOSED))]
    return open_days.astype(object).tolist()


def month(schema: pa.Schema, number: int) -> pa.Table:
    """Random values of every code on every session of a month, one in five null."""
    random = np.random.default_rng(number * 100 + len(schema))
    days = [day for day in sessions() if day.month == number]
    keys = [(day, code) for day in days for code in CODES]
    columns = [pa.array([day for day, _ in keys]), pa.array([code for _, code in keys])]
    for field in list(schema)[2:]:
        values = (random.standard_normal(len(keys)) * 50).clip(-120, 120)
        empty = random.random(len(keys)) < 0.2
        columns.append(pa.array(values.round(), mask=empty).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def write_dataset(root: Path) -> None:
    chunks = ChunkStore(root)
    for chunk_id, months in QUARTERS.items():
        build(chunks, chunk_id, *(month(SCHEMA, number) for number in months), schema=SCHEMA)
    DatasetStore(root).merge(chunks, chunks.ids())


def write_labels(root: Path, *chunk_ids: str) -> None:
    store = LabelStore(root)
    order = PartOrder(
        chunk_id="",
        build_id=BUILD,
        rebuild=None,
        origin="simulator",
        schema=LABEL_SCHEMA,
        definition_hash=definition_hash(),
        known_to=dt.date(2024, 6, 28),
        last_bar=dt.date(2024, 6, 28),
        settled=True,
    )
    parts = [
        store.write(
            PartOrder(**(vars(order) | {"chunk_id": chunk_id})),
            (month(LABEL_SCHEMA, number) for number in QUARTERS[chunk_id]),
        )
        for chunk_id in chunk_ids
    ]
    store.commit(
        parts,
        (),
        schema=LABEL_SCHEMA,
        definition_hash=definition_hash(),
        origin="simulator",
        run_id="run-1",
        now="2024-06-29T08:00:00+09:00",
    )


def write_calendar(root: Path) -> None:
    """Every day of the year up to the end of July, the closed ones too."""
    store, source, at = SnapshotStore(root, "simulator"), "trading_calendar", "2024-06-29T08:00:00Z"
    opened = set(sessions())
    days = np.arange("2024-01-01", "2024-08-01", dtype="datetime64[D]").astype(object).tolist()
    selections = []
    for name, group in groupby(days, key=lambda day: f"{day:%Y-%m}"):
        own = list(group)
        table = pa.table({"Date": own, "HolDiv": ["1" if day in opened else "0" for day in own]})
        known = [Day(str(day), 1, at, at) for day in own]
        part = store.add(source, name, known, table, fetched_at=at)
        selections.append(Selection(part, part.days))
    store.commit(
        source,
        snapshot_key(source, days[0], days[-1], None, None),
        selections,
        date_field="Date",
        start=days[0],
        end=days[-1],
        client_version="0.1.0",
        asof=None,
        tag=None,
        checked_at=at,
    )


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset, labels and calendar; not to be written to."""
    folder = tmp_path_factory.mktemp("reading") / "output"
    write_dataset(folder)
    write_labels(folder, *QUARTERS)
    write_calendar(folder)
    return folder
