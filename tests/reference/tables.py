"""Raw tables as plain Python rows, converted when they are asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

Row = dict[str, Any]
"""A row of a raw table: dates as ``datetime.date``, null and blank as ``None``."""


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """All rows in file order."""
    columns = {str(name): column_of(frame, str(name)) for name in frame.columns}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def column_of(frame: pd.DataFrame, name: str) -> list[Any]:
    """The cells of a column as plain Python."""
    cells, nulls = frame[name].tolist(), frame[name].isna().tolist()
    if not is_numeric_dtype(frame[name]):
        cells = [_plain(cell) for cell in cells]
    return [None if null else cell for cell, null in zip(cells, nulls, strict=True)]


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime):
        return cell.date()
    return None if cell == "" else cell


class Groups(Mapping[Any, list[Row]]):
    """The rows of a table by the value of one field, in file order."""

    def __init__(self, frame: pd.DataFrame, field: str) -> None:
        self._frame = frame
        self._places: dict[Any, list[int]] = {}
        self._rows: dict[Any, list[Row]] = {}
        for place, key in enumerate(column_of(frame, field)):
            self._places.setdefault(key, []).append(place)

    def __getitem__(self, key: Any) -> list[Row]:
        if key not in self._rows:
            self._rows[key] = rows_of(self._frame.iloc[self._places[key]])
        return self._rows[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
