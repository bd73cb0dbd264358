"""What a catalogue row is: the declaration every family module makes of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

DType = Literal["float32", "int8", "int16"]

#: line: a line's values come from its own bars and market-wide series; market: from whatever the
#: market holds; derived: from the columns of other families too.
Scope = Literal["line", "market", "derived"]

# Phrases of the catalogue that several families use.
CLOSE = "eq-bars-daily.C,Vo,AdjFactor"
BARS = "eq-bars-daily.O,H,L,C,Vo,AdjFactor"
AFTER_CLOSE = "T 16:30 JST; own value of T allowed in row T"
AFTER_NIGHT = (
    "T+1 03:00 JST (stamped 27:00 of T), 5 h before the cutoff; own value of T allowed in row T"
)
DISCLOSED = (
    "DiscDate 24:30 JST at the latest; as-of join, first row = first trading day >= DiscDate"
)
PRICE_AND_STATEMENT = (
    "max(T 16:30 JST, DiscDate 24:30 JST); price of T allowed, statement as-of DiscDate"
)


def no_carried_close(columns: int) -> str:
    """Null rule of a window of carried closes that begins ``columns`` before T."""
    return (
        f"fewer than {columns}+1 listed columns, "
        "or carried close null (no trade for more than 20 columns)"
    )


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

    @property
    def endpoints(self) -> frozenset[str]:
        """Ids of the endpoints it reads."""
        return frozenset(item.partition(".")[0] for item in self.inputs.split(";"))
