"""Raw tables as plain Python rows, converted when they are asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

Row = dict[str, Any]
"""A row of a raw table: dates as ``datetime.date``, null and blank as ``None``."""


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """All rows in file order."""
    return _rows({name: _cells(frame[name]) for name in frame.columns}, slice(None))


def _rows(columns: Mapping[str, np.ndarray], places: Any) -> list[Row]:
    """The rows at some places of columns."""
    plain = [_plain(cells[places]) for cells in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)]


def _plain(cells: np.ndarray) -> list[Any]:
    """As plain Python; the null of numbers is NaN."""
    if cells.dtype.kind == "f":
        return [None if cell != cell else cell for cell in cells.tolist()]
    return cells.tolist()


def _cells(column: pd.Series) -> np.ndarray:
    """Numbers, or plain Python objects."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return column.to_numpy()
    cells = np.empty(len(column), object)
    nulls = column.isna()
    cells[:] = [
        None if null or cell == "" else cell.date() if isinstance(cell, dt.datetime) else cell
        for cell, null in zip(column.tolist(), nulls.tolist(), strict=True)
    ]
    return cells


class Groups(Mapping[Any, list[Row]]):
    """The rows of a table by the value of one field, in file order."""

    def __init__(self, frame: pd.DataFrame, field: str) -> None:
        self._frame = frame
        self._columns: dict[str, np.ndarray] = {}
        self._places: dict[Any, list[int]] = {}
        self._rows: dict[Any, list[Row]] = {}
        for place, key in enumerate(_plain(_cells(frame[field]))):
            self._places.setdefault(key, []).append(place)

    def __getitem__(self, key: Any) -> list[Row]:
        if key not in self._rows:
            places = self._places[key]
            self._columns = self._columns or {n: _cells(self._frame[n]) for n in self._frame}
            self._rows[key] = _rows(self._columns, places)
        return self._rows[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
