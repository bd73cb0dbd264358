"""The published dataset under the four libraries that people read it with."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.readers import READERS, fastparquet
from tests.tasks.commands import Home

Columns = Mapping[str, np.ndarray[Any, Any]]
APRIL = (dt.date(2024, 4, 2), dt.date(2024, 4, 12))


def numbers(table: pa.Table) -> Columns:
    """Columns as arrays: dates as days, nulls of numbers as NaN."""
    return {
        field.name: table[field.name].to_numpy()
        if field.name == "Code"
        else table[field.name].cast(pa.float64(), safe=False).to_numpy()
        if field.name != "Date"
        else table[field.name].cast(pa.date32()).to_numpy()
        for field in table.schema
    }


def by_polars(path: Path) -> Columns:
    return numbers(pl.read_parquet(path).to_arrow())


def by_duckdb(path: Path) -> Columns:
    with duckdb.connect() as connection:
        return numbers(connection.sql(f"SELECT * FROM '{path}'").to_arrow_table())


def by_fastparquet(path: Path) -> Columns:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = fastparquet.ParquetFile(str(path)).to_pandas()
        return {
            name: column.to_numpy(dtype=float, na_value=np.nan)
            if name not in ("Date", "Code")
            else column.to_numpy()
            for name, column in frame.items()
        }


@pytest.mark.parametrize("what", ["chunk", "dataset"])
def test_four_readers_see_the_same_in_every_column(built: Home, what: str) -> None:
    """All columns of the catalogue, with and without nulls, of a chunk and of two merged."""
    path = built.dataset_path() if what == "dataset" else built.chunks.parquet_path("2024Q2")
    expected = numbers(pq.read_table(path))
    assert len(expected) > 3000
    assert any(np.isnan(v).all() for k, v in expected.items() if k not in ("Date", "Code"))
    for reader in (by_polars, by_duckdb, by_fastparquet):
        found = reader(path)
        assert list(found) == list(expected)
        wrong = [
            name
            for name, values in expected.items()
            if not np.array_equal(found[name], values, equal_nan=name not in ("Date", "Code"))
        ]
        assert wrong == [], reader.__name__


def test_four_readers_find_the_same_days(built: Home) -> None:
    """By the statistics of Date; the row groups of other months are left alone (test_splice)."""
    found = {
        name: [
            row[1:] for row in rows(built.dataset_path(), ["Date", "Code", "ret_prev_1d"], APRIL)
        ]
        for name, rows in READERS.items()
    }
    assert len(found["pyarrow"]) > 50
    assert all(rows == found["pyarrow"] for rows in found.values())
