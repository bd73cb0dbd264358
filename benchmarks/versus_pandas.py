"""The family alpha158_rolling against the same columns in pandas, on the same bars.

Both run in one thread, timed in processor time, and make the same values: the sessions of one
chunk and the history of its transforms. Each is given the sessions in front that it needs; pandas
computes those as well, as its rolling does, which is half of its work on a quarter. So its time
is also told per row of a long frame, where they count for little.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from alpha158_pandas import alpha158

from pipeline.features.engine.column_spec import BoolArray
from pipeline.features.price import alpha158_rolling
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import CARRY_COLUMNS, Panel

_BLOCK = 1000  # lines at a time, as the engine does it
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """One thread each.

    Attributes:
        ours_s, pandas_s: seconds per stock for the values of the chunk.
        row_s: seconds of pandas per stock and session of a long frame.
        sessions: sessions of the values.
        agreement: share of values on which both agree.
    """

    ours_s: float
    pandas_s: float
    row_s: float
    sessions: int
    agreement: float

    @property
    def speed_up(self) -> float:
        return self.pandas_s / self.ours_s

    def lines(self) -> list[str]:
        """For people."""
        values = (
            f"alpha158_rolling, 105 columns x {self.sessions} sessions per stock, one thread: "
            f"{1e3 * self.ours_s:.2f} ms, in pandas {1e3 * self.pandas_s:.2f} ms; "
            f"{100 * self.agreement:.2f} % of the values agree"
        )
        ours_row_s = self.ours_s / self.sessions
        rows = (
            f"  per session of a long frame: {1e6 * ours_row_s:.1f} us, "
            f"in pandas {1e6 * self.row_s:.1f} us ({self.row_s / ours_row_s:.1f} times)"
        )
        return [values, rows]


def compare(market: Market, sample: int) -> Comparison:
    """Time our family over the whole market and pandas over a sample of its codes."""
    panel = market.panel
    ours, ours_s = _ours(market)
    lines = _whole_lines(panel)[:sample]
    needed = max(feature.lookback for feature in alpha158_rolling.FEATURES) + CARRY_COLUMNS
    theirs, pandas_s = _theirs(panel, lines, panel.n_out + needed)
    _, long_s = _theirs(panel, lines, panel.n_columns)
    return Comparison(
        ours_s=ours_s / panel.n_lines,
        pandas_s=pandas_s / lines.size,
        row_s=long_s / (lines.size * panel.n_columns),
        sessions=panel.n_out,
        agreement=_agreement(ours, theirs, lines, panel.n_out),
    )


def _ours(market: Market) -> tuple[dict[str, np.ndarray], float]:
    """Values of all lines, and seconds, with the derived series of the panel."""
    panel = market.panel
    began = time.process_time()
    parts = [
        alpha158_rolling.compute(replace(market, panel=panel.block(start, start + _BLOCK)))
        for start in range(0, panel.n_lines, _BLOCK)
    ]
    seconds = time.process_time() - began
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, seconds


def _theirs(panel: Panel, lines: np.ndarray, columns: int) -> tuple[pd.DataFrame, float]:
    """Values of pandas on the last columns of the panel, and seconds, without the frame's."""
    bars = _frame(panel, lines, columns)
    began = time.process_time()
    values = alpha158(bars)
    return values, time.process_time() - began


def _whole_lines(panel: Panel) -> np.ndarray:
    """Codes listed on every session of the panel and without a split: one line, plain bars."""
    unsplit: BoolArray = (panel.adj_factor == 1.0).all(axis=1) & panel.listed.all(axis=1)
    return np.flatnonzero(unsplit[: panel.codes.size])


def _frame(panel: Panel, lines: np.ndarray, columns: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product(
        [panel.codes[lines], panel.sessions[-columns:]], names=["code", "session"]
    )
    fields = {name: getattr(panel, name)[lines, -columns:].ravel() for name in ("h", "l", "c", "v")}
    return pd.DataFrame(fields, index=index)


def _agreement(
    ours: dict[str, np.ndarray], theirs: pd.DataFrame, lines: np.ndarray, n_out: int
) -> float:
    """Share of values that are null in both, or equal within the tolerance."""
    same = [
        np.isclose(
            values[lines],
            theirs[name].to_numpy().reshape(lines.size, -1)[:, -n_out:],
            rtol=_TOLERANCE,
            atol=_TOLERANCE,
            equal_nan=True,
        ).mean()
        for name, values in ours.items()
    ]
    return float(np.mean(same))
