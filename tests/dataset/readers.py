"""The libraries that people read datasets with, each as rows in plain Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

with warnings.catch_warnings():
    # It asks pandas for an option on its way out.
    warnings.simplefilter("ignore")
    import fastparquet

Rows = list[tuple[Any, ...]]
Between = tuple[Any, Any]


def pyarrow_rows(path: Path, columns: Sequence[str], dates: Between | None = None) -> Rows:
    filters = None if dates is None else [("Date", ">=", dates[0]), ("Date", "<=", dates[1])]
    table = pq.read_table(path, columns=list(columns), filters=filters)
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


def polars_rows(path: Path, columns: Sequence[str], dates: Between | None = None) -> Rows:
    frame = pl.scan_parquet(path)
    if dates is not None:
        frame = frame.filter(pl.col("Date").is_between(*dates))
    return frame.select(columns).collect().rows()


def duckdb_rows(path: Path, columns: Sequence[str], dates: Between | None = None) -> Rows:
    names = ", ".join(f'"{name}"' for name in columns)
    where = "" if dates is None else f"WHERE Date BETWEEN '{dates[0]}' AND '{dates[1]}'"
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {names} FROM '{path}' {where}").fetchall()


def fastparquet_rows(path: Path, columns: Sequence[str], dates: Between | None = None) -> Rows:
    """It knows no dates, only times; nulls of numbers come as NaN, here as None. Its filters leave
    out row groups, not rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = fastparquet.ParquetFile(str(path))
        if dates is None:
            frame = file.to_pandas(columns=list(columns))
        else:
            first, last = map(pd.Timestamp, dates)
            filters = [("Date", ">=", first), ("Date", "<=", last)]
            frame = file.to_pandas(
                columns=list({"Date": 0, **dict.fromkeys(columns)}), filters=filters
            )
            frame = frame[frame["Date"].between(first, last)]
    frame = frame[list(columns)].astype(object)
    return list(frame.where(frame.notna(), None).itertuples(index=False, name=None))


Reader = Callable[..., Rows]
READERS: dict[str, Reader] = {
    "pyarrow": pyarrow_rows,
    "polars": polars_rows,
    "duckdb": duckdb_rows,
    "fastparquet": fastparquet_rows,
}
