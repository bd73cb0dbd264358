"""The option surface of one day: volatility by expiry and strike, in bands of several quotes."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from pipeline.market.derivatives.option_quotes import option_quotes
from pipeline.report.report_facts import Surface

_EDGES = np.round(np.arange(0.775, 1.2251, 0.05), 3)  # of strike / index
_EXPIRIES = 8
_MIN_DAYS = 2  # closer ones are all gamma and tick size
_DIGITS = 4


def surface_of(table: pa.Table, session: str) -> Surface | None:
    """Median volatility of the out-of-the-money quotes in each band; None without any.

    Args:
        table: option records, see ``option_quotes``.
        session: ISO date; other days do not matter.
    """
    day = np.array([session], dtype="datetime64[D]")
    quotes = option_quotes(table, day)
    index = float(quotes.underlying[0])
    if not index > 0:
        return None
    strike = quotes.strike / index
    good = (
        ~np.isnan(quotes.iv)
        & (quotes.iv > 0)
        & (quotes.days >= _MIN_DAYS)
        & (quotes.is_call == (strike >= 1))
        & (strike >= _EDGES[0])
        & (strike < _EDGES[-1])
    )
    days = np.unique(quotes.days[good])[:_EXPIRIES]
    if not days.size:
        return None
    band = np.searchsorted(_EDGES, strike, side="right") - 1
    iv = tuple(
        tuple(
            _median(quotes.iv[good & (quotes.days == until) & (band == at)])
            for at in range(_EDGES.size - 1)
        )
        for until in days
    )
    middles = tuple(float(m) for m in np.round((_EDGES[:-1] + _EDGES[1:]) / 2, 3))
    shown = int((good & np.isin(quotes.days, days)).sum())
    return Surface(session, tuple(int(d) for d in days), middles, iv, shown)


def _median(values: np.ndarray) -> float | None:
    median = float(np.median(values)) if values.size else math.nan
    return None if math.isnan(median) else round(median, _DIGITS)
