"""Arrow tables as the frames people work with, and the files as a Polars scan."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from pipeline.dataset.parquet.layout import CODE, DATE
from pipeline.dataset.parquet.row_reader import Wanted
from pipeline.errors import UsageError
from pipeline.filesystem.location import is_remote
from pipeline.manifest import KEYS


def to_pandas(table: pa.Table) -> Any:
    """A pandas frame: Date as datetime64, flags and counts as nullable integers.

    By itself pandas would make float64 of an integer column as soon as it has a null.
    """
    import pandas as pd

    nullable = {pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype()}
    return table.to_pandas(date_as_object=False, types_mapper=nullable.get)


def to_polars(table: pa.Table) -> Any:
    """A Polars frame."""
    return _polars().from_arrow(table)


CONVERT: Mapping[str, Callable[[pa.Table], Any]] = {
    "pandas": to_pandas,
    "polars": to_polars,
    "arrow": lambda table: table,
}


def scan(
    path: Path,
    features: Sequence[str],
    wanted: Wanted,
    label_paths: Sequence[Path],
    labels: Sequence[str],
    last_known: Mapping[str, dt.date | None],
) -> Any:
    """A LazyFrame over the files; nothing but footers is read before it is collected.

    Args:
        label_paths: files of the label table that may hold the rows.
        last_known: last day of each label that is not null.
    """
    pl = _polars()

    def rows(files: Any, columns: Sequence[str], options: Mapping[str, str] | None = None) -> Any:
        frame = pl.scan_parquet(files, storage_options=options)
        frame = frame.filter(pl.col(DATE).is_between(wanted.first, wanted.last))
        if wanted.codes is not None:
            frame = frame.filter(pl.col(CODE).is_in(list(wanted.codes)))
        return frame.select(*KEYS, *columns)

    frame = (
        rows(str(path), features, _client_options()) if is_remote(path) else rows(path, features)
    )
    if not labels:
        return frame
    beside = rows(list(label_paths), labels)
    known = [
        pl.when(pl.col(DATE) <= day).then(pl.col(name)).alias(name)
        if day is not None
        else pl.lit(None, pl.Float32).alias(name)
        for name, day in last_known.items()
    ]
    return frame.join(beside.with_columns(known), on=list(KEYS), how="left", maintain_order="left")


def _client_options() -> Mapping[str, str]:
    """Polars has a client of its own, which refuses an endpoint without TLS unless told so."""
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http:")
    return {"aws_allow_http": "true"} if plain else {}


def _polars() -> ModuleType:
    try:
        import polars as pl
    except ImportError as error:
        raise UsageError(
            'load format "polars": Polars is not installed', "pip install polars"
        ) from error
    return pl
