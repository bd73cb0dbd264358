"""Names for the array types and the columnar row format of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

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


def stacked(parts: Sequence[T]) -> T:
    """The entries of several dataclasses of equally long arrays, in their order.

    A field may also be a dict of such arrays.
    """
    return _each_array(parts, np.concatenate)


def taken(table: T, which: BoolArray | IntArray) -> T:
    """The entries of a dataclass of arrays with these marks or indices."""
    return _each_array([table], lambda arrays: arrays[0][which])


def _each_array(parts: Sequence[T], make: Callable[[list[NDArray[Any]]], NDArray[Any]]) -> T:
    made: dict[str, Any] = {}
    for field in fields(parts[0]):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], dict):
            made[field.name] = {name: make([v[name] for v in values]) for name in values[0]}
        else:
            made[field.name] = make(values)
    return type(parts[0])(**made)
