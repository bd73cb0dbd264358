"""What a catalogue row is: the declaration every family module makes of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

DType = Literal["float32", "int8", "int16"]
Scope = Literal["line", "market"]


@dataclass(frozen=True)
class Feature:
    """One base column of the catalogue.

    Attributes:
        name: column name.
        family: name of the module that computes it.
        formula: the definition in the vocabulary of the README's glossary.
        inputs: endpoint fields it reads, ``endpoint.Field,Field``.
        lookback: trading columns before T on a stock that trades every day.
        available: when the newest input is public (JST).
        dtype: stored type; integers are nullable.
        unit: unit of the stored value.
        null_rule: when the value is null.
        check: independent reference it is compared with.
    """

    name: str
    family: str
    formula: str
    inputs: str
    lookback: int
    available: str
    dtype: DType
    unit: str
    null_rule: str
    check: str
