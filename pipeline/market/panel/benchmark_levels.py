"""Levels of the indices features compare a stock with, along the trading columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.market.panel.axis import NOWHERE, Axis, FloatArray, IndexArray, Source, numbers_of
from pipeline.market.panel.daily_records import own_columns
from pipeline.market.panel.price_panel import SAME_PRICE
from pipeline.market.texts import encoded

TOPIX_COLUMNS: Final = ("Date", "O", "H", "L", "C")
INDICES_COLUMNS: Final = ("Date", "Code", "C")

#: TOPIX-33 index of each industry. The two kinds of codes look alike and are not: index 0050 is
#: transport equipment, S33 0050 is fishery.
SECTOR_INDEX: Final[Mapping[int, str]] = MappingProxyType(
    {
        50: "0040", 1050: "0041", 2050: "0042", 3050: "0043", 3100: "0044", 3150: "0045",
        3200: "0046", 3250: "0047", 3300: "0048", 3350: "0049", 3400: "004A", 3450: "004B",
        3500: "004C", 3550: "004D", 3600: "004E", 3650: "004F", 3700: "0050", 3750: "0051",
        3800: "0052", 4050: "0053", 5050: "0054", 5100: "0055", 5150: "0056", 5200: "0057",
        5250: "0058", 6050: "0059", 6100: "005A", 7050: "005B", 7100: "005C", 7150: "005D",
        7200: "005E", 8050: "005F", 9050: "0060",
    }
)  # fmt: skip

GROWTH_250 = "0070"  # TSE Growth Market 250, until 2023 the Mothers index
TOPIX_100 = "002A"
TOPIX_SMALL = "002D"
TOPIX_VALUE = "8100"
TOPIX_GROWTH = "8200"

INDEX_CODES: Final = (
    *SECTOR_INDEX.values(),
    GROWTH_250,
    TOPIX_100,
    TOPIX_SMALL,
    TOPIX_VALUE,
    TOPIX_GROWTH,
)


@dataclass(frozen=True, eq=False)
class Topix:
    """TOPIX, (columns,) each, index points; NaN where there is no record.

    Attributes:
        o, h, l, c: open, high, low, close. On 2020-10-01, when nothing was traded, the exchange
            repeats the previous close.
    """

    o: FloatArray
    h: FloatArray
    l: FloatArray
    c: FloatArray

    @cached_property
    def r(self) -> FloatArray:
        """(columns,) simple return of the close; exactly 0 between closes that are equal."""
        now, before = self.c[1:], self.c[:-1]
        same = np.abs(now - before) <= SAME_PRICE * np.maximum(np.abs(now), np.abs(before))
        result = np.full(self.c.size, np.nan)
        result[1:] = np.where(same, 0.0, now / before - 1.0)
        return result


@dataclass(frozen=True, eq=False)
class IndexCloses:
    """Closes of INDEX_CODES.

    Attributes:
        closes: (indices, columns) index points, in the order of INDEX_CODES; NaN where there is
            no record.
    """

    closes: FloatArray

    def of(self, code: str) -> FloatArray:
        """(columns,) closes of one of INDEX_CODES."""
        series: FloatArray = self.closes[INDEX_CODES.index(code)]
        return series

    @property
    def sectors(self) -> FloatArray:
        """(33, columns) closes of the TOPIX-33 indices, in the order of SECTOR_INDEX."""
        return self.closes[: len(SECTOR_INDEX)]


def topix(source: Source, axis: Axis) -> Topix:
    """TOPIX bars along the columns.

    Args:
        source: ``Date`` (date32); ``O``, ``H``, ``L``, ``C`` (float64).
        axis: the columns.
    """
    column = own_columns(source, axis)
    keep = column != NOWHERE

    def dense(field: str) -> FloatArray:
        series = np.full(axis.n_columns, np.nan)
        series[column[keep]] = numbers_of(source.table[field])[keep]
        return series

    return Topix(o=dense("O"), h=dense("H"), l=dense("L"), c=dense("C"))


def index_closes(source: Source, axis: Axis) -> IndexCloses:
    """Closes of INDEX_CODES along the columns.

    Args:
        source: ``Date`` (date32), ``Code`` (string), ``C`` (float64); other codes are left out.
        axis: the columns.
    """
    column, index = own_columns(source, axis), _index_of(source.table["Code"])
    keep = (column != NOWHERE) & (index != NOWHERE)
    closes = np.full((len(INDEX_CODES), axis.n_columns), np.nan)
    closes[index[keep], column[keep]] = numbers_of(source.table["C"])[keep]
    return IndexCloses(closes)


def _index_of(codes: pa.ChunkedArray[Any]) -> IndexArray:
    """(rows,) position of each code in INDEX_CODES; NOWHERE for others."""
    number, texts = encoded(codes)
    place = {code: position for position, code in enumerate(INDEX_CODES)}
    return np.array([place.get(text, NOWHERE) for text in texts], dtype=np.int64)[number]
