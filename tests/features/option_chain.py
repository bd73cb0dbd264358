"""Option files made by hand or by Black's formula, for the tests of the option family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import vollib.black

from pipeline.market.derivatives.option_quotes import option_quotes

Row = dict[str, Any]

NUMBERS = ("Strike", "IV", "IR", "Settle", "OI", "Vo", "Va", "UnderPx")
YEAR = 365.0


def weekdays(n: int, first: str = "2023-01-04") -> np.ndarray:
    """Consecutive weekdays as trading columns."""
    return np.busday_offset(first, np.arange(n))


def quote(day: Any, days: int, strike: float, kind: str, **fields: Any) -> Row:
    """One contract: ``kind`` is put or call, ``days`` lie between the session and the SQ day."""
    return {
        "Date": np.datetime64(day, "D"),
        "SQD": np.datetime64(day, "D") + days,
        "Strike": float(strike),
        "PCDiv": {"put": "1", "call": "2"}[kind],
        "EmMrgnTrgDiv": "002",
        "IV": 20.0,
        "IR": 0.0,
        "Settle": 100.0,
        "OI": 0.0,
        "Vo": 0.0,
        "Va": 0.0,
        "UnderPx": 20000.0,
        **fields,
    }


def pair(day: Any, days: int, strike: float, **fields: Any) -> list[Row]:
    """Put and call of one strike, alike but for what ``fields`` gives as (put, call)."""
    sides = []
    for i, kind in enumerate(("put", "call")):
        own = {k: x[i] if isinstance(x, tuple) else x for k, x in fields.items()}
        sides.append(quote(day, days, strike, kind, **own))
    return sides


def tiny_smile(day: Any, days: int, iv: float, **fields: Any) -> list[Row]:
    """An expiry whose forward is 20,000 and whose volatility there is ``iv`` percent."""
    return [
        quote(day, days, 19900.0, "put", IV=35.0, **fields),
        *pair(day, days, 20000.0, IV=(99.0, iv), **fields),
    ]


def black_smile(
    day: Any,
    days: int,
    forward: float,
    strikes: Iterable[float],
    volatility: Callable[[float], float],
    rate: float = 0.002,
    **fields: Any,
) -> list[Row]:
    """All contracts of one expiry priced by Black's formula; volatility by log-moneyness."""
    rows: list[Row] = []
    for strike in strikes:
        sigma = volatility(float(np.log(strike / forward)))
        price = [
            vollib.black.black(flag, forward, strike, days / YEAR, rate, sigma) for flag in "pc"
        ]
        rows += pair(
            day, days, strike, Settle=tuple(price), IV=100 * sigma, IR=100 * rate, **fields
        )
    return rows


def table_of(rows: Sequence[Row]) -> pa.Table:
    """The rows with the types of a snapshot."""
    frame = pd.DataFrame(rows)
    columns = {name: pa.array(frame[name], pa.float64(), from_pandas=True) for name in NUMBERS}
    for name in ("Date", "SQD"):
        columns[name] = pa.array(frame[name].astype("datetime64[s]"), pa.date32())
    for name in ("PCDiv", "EmMrgnTrgDiv"):
        columns[name] = pa.array(frame[name].astype(object), pa.string())
    return pa.table(columns)


def market_of(rows: Sequence[Row], sessions: np.ndarray, n_out: int) -> Any:
    """What the family may see of a market: the sessions and the quotes, and nothing else."""
    return SimpleNamespace(
        panel=SimpleNamespace(sessions=sessions, n_out=n_out),
        options=option_quotes(table_of(rows), sessions),
    )
