"""Names for the array types and the columnar row format of the simulator."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
CountArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]
CodeArray: TypeAlias = NDArray[np.int8]
DateArray: TypeAlias = NDArray[np.datetime64]
TextArray: TypeAlias = NDArray[np.object_]

# One array per field, all of one length, in the order of the fields. Numbers are float64 with
# NaN for a missing value, text is object arrays of str (None for a missing value).
Columns: TypeAlias = dict[str, NDArray[Any]]


def iso_dates(dates: DateArray) -> TextArray:
    """Dates as ``YYYY-MM-DD`` text."""
    return np.datetime_as_string(dates, unit="D").astype(object)
