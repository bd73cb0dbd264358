"""Small chunks to write, and valid documents to break."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import manifest as m
from pipeline.cache.parts import Day, Selection
from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.build_request import BuildOrder, Input
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.label_store import LabelStore, PartOrder
from pipeline.features.labels.label_values import definition_hash, label_schema

COLUMNS = (
    m.Column("Date", "Date", nullable=False, role="key"),
    m.Column("Code", "String", nullable=False, role="key"),
    m.Column("ret_prev_1d", "Float32"),
    m.Column("is_traded", "Int8"),
    m.Column("sector", "Categorical"),
)
SCHEMA = m.arrow_schema(COLUMNS, "1.0.0")
NOW = dt.datetime(2024, 6, 3, 8, 0, tzinfo=dt.UTC)
HASH = "ab" * 32
KEY = "daily_bars_raw_2019-01-04_2020-03-31"
BUILD = "0" * 31 + "1"
CHECKED = "2024-06-03T08:00:00+09:00"


def clock() -> dt.datetime:
    """Time stands still in tests."""
    return NOW


def rows(dates: Iterable[dt.date], codes: Iterable[str] = ("13010", "1301A")) -> pa.Table:
    """Every code on every date; values follow from both, the first value of each code is null."""
    keys = [(date, code) for date in dates for code in codes]
    count = len(keys)
    return pa.table(
        [
            pa.array([date for date, _ in keys], pa.date32()),
            pa.array([code for _, code in keys], pa.string()),
            pa.array([None if i == 0 else i / 8 for i in range(count)], pa.float32()),
            pa.array([i % 2 for i in range(count)], pa.int8()),
            pa.array(["a", None, "b"][i % 3] for i in range(count)).cast(
                pa.dictionary(pa.int32(), pa.string())
            ),
        ],
        schema=SCHEMA,
    )


def order(chunk_id: str = "2020Q1", **changes: Any) -> BuildOrder:
    """An order for the first quarter of 2020 unless told otherwise."""
    fields: dict[str, Any] = {
        "chunk_id": chunk_id,
        "origin": "simulator",
        "run_id": "run-1",
        "code_version": "0.1.0",
        "covered_from": dt.date(2020, 1, 1),
        "covered_to": dt.date(2020, 3, 31),
        "input_start": dt.date(2019, 1, 4),
        "input_end": dt.date(2020, 3, 31),
        "schema": SCHEMA,
        "schema_version": "1.0.0",
        "inputs": (Input("daily_bars", KEY, HASH, CHECKED),),
    }
    return BuildOrder(**(fields | changes))


def build(store: ChunkStore, chunk_id: str, *tables: pa.Table, **changes: Any) -> None:
    """Build a chunk of these row groups."""
    with store.build(order(chunk_id, **changes)) as writer:
        for table in tables:
            writer.write(table)


def label(store: ChunkStore, root: Path) -> None:
    """Give an output root a label table for its chunks as they are; every label is to come."""
    schema = label_schema()
    labels = LabelStore(root)
    entries = []
    for chunk_id in store.ids():
        status = store.read_status(chunk_id)
        part = PartOrder(
            chunk_id=chunk_id,
            build_id=status["build_id"],
            rebuild=status["rebuild"],
            origin=status["origin"],
            schema=schema,
            definition_hash=definition_hash(),
            known_to=dt.date.fromisoformat(status["covered_to"]),
            last_bar=None,
            settled=False,
        )
        with pq.ParquetFile(store.parquet_path(chunk_id)) as file:
            keys = [
                file.read_row_group(i, columns=["Date", "Code"]) for i in range(file.num_row_groups)
            ]
        entries.append(labels.write(part, [_unlabelled(table, schema) for table in keys]))
    labels.commit(
        entries,
        [],
        schema=schema,
        definition_hash=definition_hash(),
        origin="simulator",
        run_id="run-1",
        now=NOW.isoformat(),
    )


def _unlabelled(keys: pa.Table, schema: pa.Schema) -> pa.Table:
    nulls = [pa.nulls(keys.num_rows, field.type) for field in list(schema)[2:]]
    return pa.Table.from_arrays([keys["Date"], keys["Code"], *nulls], schema=schema)


def remember_calendar(root: Path, sessions: Iterable[dt.date]) -> None:
    """Put a trading calendar of these sessions into the cache, in place of any other."""
    for path in (root / "cache" / "trading_calendar").glob("*.json"):
        path.unlink()
    days = sorted(sessions)
    table = pa.table({"Date": pa.array(days, pa.date32()), "HolDiv": ["1"] * len(days)})
    store = SnapshotStore(root, "simulator")
    moment = NOW.isoformat()
    part = store.add("trading_calendar", "all", [], table, fetched_at=moment)
    store.commit(
        "trading_calendar",
        f"trading_calendar_raw_{days[0]}_{days[-1]}",
        [Selection(part, ())],
        date_field="Date",
        start=days[0],
        end=days[-1],
        asof=None,
        tag=None,
        checked_at=moment,
        client_version="1",
    )


def remember_listing(
    root: Path, records: pa.Table, period: str, arrived: str = NOW.isoformat()
) -> Input:
    """Put listing records into the cache, as a snapshot of a period such as 2020-01 to be built
    from.

    Args:
        records: Date, Code, Mkt and S33.
    """
    store = SnapshotStore(root, "simulator")
    counts = pc.value_counts(records["Date"]).to_pylist()
    days = [Day(str(c["values"]), c["counts"], arrived, arrived) for c in counts]
    part = store.add("listed", period, days, records, fetched_at=arrived)
    first, last = (dt.date.fromisoformat(days[at].date) for at in (0, -1))
    snapshot = store.commit(
        "listed",
        f"listed_raw_{first}_{last}",
        [Selection(part, part.days)],
        date_field="Date",
        start=first,
        end=last,
        asof=None,
        tag=None,
        checked_at=arrived,
        client_version="1",
    )
    return Input("listed", snapshot["key"], snapshot["sha256"], CHECKED)


def listing(dates: Iterable[dt.date], codes: Iterable[str], mkt: str = "0111") -> pa.Table:
    """Listing records of every code on every date."""
    keys = [(date, code) for date in dates for code in codes]
    return pa.table(
        {
            "Date": pa.array([date for date, _ in keys], pa.date32()),
            "Code": [code for _, code in keys],
            "Mkt": [mkt] * len(keys),
            "S33": ["0050"] * len(keys),
        }
    )


def january(*days: int) -> list[dt.date]:
    return [dt.date(2020, 1, day) for day in days]


def leftovers(root: Path) -> list[str]:
    """Names of temporary files below a folder: there should never be one."""
    return [path.name for path in root.rglob("*") if path.name.endswith(".tmp")]


def documents() -> dict[str, dict[str, Any]]:
    """One valid document of each kind."""
    status = {
        "chunk_id": "2020Q1",
        "state": "completed",
        "origin": "api",
        "build_id": BUILD,
        "rebuild": None,
        "run_id": "20240603T080000-ab12",
        "started_at": "2024-06-03T08:00:00+09:00",
        "finished_at": "2024-06-03T08:01:00+09:00",
        "covered_from": "2020-01-01",
        "covered_to": "2020-03-31",
        "output_start": "2020-01-06",
        "output_end": "2020-03-31",
        "rows": 2,
        "schema_hash": "2875957eecefb206",
        "schema_version": "1.0.0",
        "parquet_bytes": 100,
        "parquet_sha256": HASH,
        "inputs": {KEY: HASH},
        "code_version": "0.1.0",
        "error": None,
        "host": "builder",
        "pid": 7,
    }
    facts = {
        "origin": "api",
        "input_start": "2019-01-04",
        "input_end": "2020-03-31",
        "output_start": "2020-01-06",
        "output_end": "2020-03-31",
        "rows": 2,
        "columns": ["Date", "Code"],
        "dtypes": {"Date": "Date", "Code": "String"},
        "feature_schema_hash": "2875957eecefb206",
        "feature_schema_version": "1.0.0",
        "dataset_hash": HASH,
        "generated_at": "2024-06-03T08:00:00Z",
        "null_rates": {"Date": 0.0, "Code": 0.5},
        "sources": {"daily_bars": [{"key": KEY, "sha256": HASH}]},
        "unavailable": ["index_option"],
    }
    part = {
        "period": "2020-01",
        "file": "2020-01-api-abababababababab.parquet",
        "sha256": HASH,
        "rows": 1,
        "bytes": 10,
        "dates": ["2020-01-06"],
        "whole": True,
        "route": "requests",
        "fetched_at": "2024-06-03T08:00:00+09:00",
    }
    label_part = {
        "chunk_id": "2020Q1",
        "build_id": BUILD,
        "rebuild": None,
        "rows": 2,
        "output_start": "2020-01-06",
        "output_end": "2020-03-31",
        "known_to": "2020-04-10",
        "last_bar": "2020-04-10",
        "settled": False,
        "parquet_bytes": 100,
        "parquet_sha256": HASH,
        "null_rates": {"label_ret_cc_1d": 0.5},
    }
    run = {
        "run_id": "a1b2c3d4e5f6",
        "task": "BuildAll",
        "parameters": {"start": "2020-01-01", "force": "False"},
        "settings": {"plan": "light"},
        "profile": "production",
        "code_version": "0.1.0+12345678",
        "origin": "api",
        "host": "builder",
        "pid": 7,
        "started_at": "2024-06-03T08:00:00+09:00",
        "finished_at": None,
        "outcome": "failed",
        "exit_code": 30,
        "error": "BuildChunk 2020Q1: no room",
        "chunks": [
            {"chunk_id": "2020Q1", "state": "failed", "rows": None, "seconds": 1.5, "bytes": None}
        ],
        "steps": [
            {
                "name": "BuildChunk 2020Q1",
                "started_at": "2024-06-03T08:00:00.123+09:00",
                "seconds": 1.5,
                "error": "no room",
            }
        ],
        "inputs": [KEY],
        "outputs": {"dataset": None, "dataset_hash": None, "labels": "labels/labels.json"},
        "peak_rss_bytes": 10,
        "requests": {"daily_bars": 3},
    }
    return {
        "status": status,
        "run": run,
        "alerts": {
            "alerts": [
                {
                    **{"scope": "health", "key": "schema 2020Q1", "text": "missing columns"},
                    **{"since": "2024-06-03T08:00:00+09:00", "told_on": "2024-06-03"},
                    "state": "open",
                }
            ]
        },
        "progress": {
            **{"run_id": "a1b2", "task": "FetchSource listed", "what": "listed", "unit": "days"},
            **{"done": 3, "total": 8, "began": 1717372800.0, "told": 1717372801.5},
        },
        "announcement": {
            **{"format": 1, "run_id": "a1b2", "began_at": CHECKED, "host": "lead"},
            **{"code_version": "0.1.0+12345678", "schema_hash": "0123456789abcdef"},
            **{"schema_version": "1.0.0", "now": CHECKED, "server": "simulator"},
            **{"settings": {"plan": "premium"}, "earlier": ["a1b1"]},
        },
        "account": {
            "salt": "0123456789abcdef" * 2,
            "accounts": [
                {
                    **{"base_url": "https://api.jquants.com/v2", "key_tag": "12ab"},
                    **{"plan": "light", "found_at": CHECKED},
                }
            ],
        },
        "rechecks": {
            **{"origin": "simulator", "day": "2024-06-03", "spent": 3, "done": False},
            **{"questions": 7, "requests": 9},
            "sources": {
                "daily_bars": {
                    **{"listed_at": CHECKED, "refused_at": None},
                    "files": {"2020-01": {"size": 4711, "modified": None}},
                    "failed": {"2020-01-06": CHECKED},
                }
            },
            "found": [
                {
                    **{"source": "daily_bars", "date": "2020-01-06", "replaced": CHECKED},
                    **{"arrived": CHECKED, "rows_before": 2, "rows": 2, "added": 0},
                    **{"removed": 0, "changed": 1, "fields": {"C": 1}},
                    **{"example": "13010 C", "accepted": False},
                }
            ],
        },
        "metadata": {
            "chunk_id": "2020Q1",
            "build_id": BUILD,
            **facts,
            "checked": {"daily_bars": CHECKED},
            "corrections": [{"source": "daily_bars", "date": "2020-01-06", "arrived": CHECKED}],
            "encoding": "2875957eecefb206",
            "findings": [{"month": "2020-01", "not_finite": ["Code"], "outside": []}],
            "warnings": ["more nulls than before"],
            "last_good": {"build_id": BUILD, "rows": 2, "null_rates": {"Date": 0.0, "Code": 0.0}},
        },
        "dataset_metadata": {
            "dataset": "ml_dataset_20200106_20200331_20240603T080000Z_full.parquet",
            **facts,
            "chunks": [
                {
                    "chunk_id": "2020Q1",
                    "build_id": BUILD,
                    "rows": 2,
                    "output_start": "2020-01-06",
                    "output_end": "2020-03-31",
                    "parquet_sha256": HASH,
                }
            ],
        },
        "manifest": m.to_json(m.Manifest("1.0.0", "2024-06-03T08:00:00Z", "catalogue", COLUMNS)),
        "validation": {
            "run_id": "run-1",
            "generated_at": "2024-06-03T08:00:00Z",
            "manifest_version": "1.0.0",
            "schema_hash": "2875957eecefb206",
            "passed": False,
            "sha256_verified": True,
            "inputs": {"2020Q1": BUILD},
            "chunks": [
                {
                    "chunk_id": "2020Q1",
                    "passed": False,
                    "rows": 2,
                    "schema_hash": None,
                    "violations": m.check([], m.Manifest("1.0.0", "", "", COLUMNS)).to_json(),
                    "issues": ["missing column 'Date' (Date)"],
                    "warnings": [],
                }
            ],
        },
        "snapshot": {
            "source": "daily_bars",
            "key": KEY + "_asof-2024-11-11_v1.0.0",
            "origin": "api",
            "start": "2019-01-04",
            "end": "2020-03-31",
            "asof": "2024-11-11",
            "tag": "v1.0.0",
            "route": "files+requests",
            "client_version": "0.1.0",
            "checked_at": "2024-06-03T08:00:00+09:00",
            "fetched_at": "2024-06-03T08:00:00.123+09:00",
            "date_field": "Date",
            "rows": 1,
            "sha256": HASH,
            "parts": [part],
        },
        "rebuild": {"id": BUILD, "reason": "by hand", "requested_at": "2024-06-03T08:00:00Z"},
        "labels": {
            "run_id": "run-1",
            "generated_at": "2024-06-03T08:00:00+09:00",
            "origin": "api",
            "definition_hash": "2875957eecefb206",
            "columns": ["Date", "Code", "label_ret_cc_1d"],
            "dtypes": {"Date": "Date", "Code": "String", "label_ret_cc_1d": "Float32"},
            "rows": 2,
            "output_start": "2020-01-06",
            "output_end": "2020-03-31",
            "parts": [label_part],
            "others": [],
        },
        "report": {
            "report": "report_20240603T080000Z.html",
            "bytes": 1200000,
            "generated_at": "2024-06-03T08:00:00+09:00",
            "run_id": "20240603T080000-1",
            "origin": "api",
            "inputs": {"2020Q1": "0" * 32},
        },
        "report_facts": {
            "generated_at": "2024-06-03T08:00:00+09:00",
            "run_id": "20240603T080000-1",
            "origin": "api",
            "dataset": "ml_dataset_20200106_20200331_20240603T080000Z_full.parquet",
            "rows": 2,
            "schema_hash": "2875957eecefb206",
            "profile_version": 1,
            "corrections": 0,
            "inputs": {"2020Q1": "0" * 32},
            "chunks": {
                "2020Q1": {
                    "build_id": "0" * 32,
                    "warnings": [],
                    "unavailable": ["futures"],
                    "profile": {
                        "sessions": {"2020-01-06": [[1, 1, 0, 0], [1, 1, 0], [None, 1.5]]},
                        "months": {
                            "2020-01": {
                                "rows": 2,
                                "nulls": {"candle": 0.5},
                                "spread": {"ret_prev_1d": [-0.1, 0.0, 0.1]},
                            }
                        },
                    },
                }
            },
        },
        "dataset_quality": {
            "generated_at": "2024-06-03T08:00:00+09:00",
            "dataset": "/data/ml_dataset_latest_full.parquet",
            "dataset_hash": HASH,
            "rows": 2,
            "columns": 5,
            "columns_compared": 3,
            "output_start": "2020-01-06",
            "output_end": "2020-03-31",
            "passed": False,
            "findings": [{"check": "keys", "subject": "row group 0", "text": "1 keys are null"}],
            "warnings": [],
            "unchecked": {"master": "no listing records in the cache"},
            "thresholds": {"null_rate": 0.1, "stability": 1.0},
            "chunks": [
                {
                    "chunk_id": "2020Q1",
                    "rows": 2,
                    "sessions": 2,
                    "output_start": "2020-01-06",
                    "output_end": "2020-03-31",
                }
            ],
        },
        "training": {
            "dataset": "ml_dataset_20200106_20200331_20240603T080000Z_full.parquet",
            "dataset_hash": HASH,
            "labels": {"2020Q1": HASH},
            "origin": "api",
            "rows": 2,
            "feature_columns": 3,
            "label_columns": 1,
            "generated_at": "2024-06-03T08:00:00+09:00",
            "parquet_bytes": 100,
            "parquet_sha256": HASH,
        },
    }
