"""Seeded random bars and simple master records, for tests against other people's code."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.reference.market import ReferenceMarket

CODE = "13010"
COLUMNS = 700
DAYS = pd.bdate_range("2020-01-06", periods=COLUMNS + 300)
LAST = DAYS[COLUMNS - 1]
BAR_FIELDS = ["O", "H", "L", "C", "Vo", "Va"]


def random_bars(seed: int, code: str = CODE, n: int = COLUMNS) -> pd.DataFrame:
    """Gap-free bars of one code, n columns up to LAST."""
    rng = np.random.default_rng(seed)
    close = 1000 * np.exp(np.cumsum(rng.normal(0, 0.02, n)))
    opening = close * np.exp(rng.normal(0, 0.01, n))
    high = np.maximum(opening, close) * np.exp(rng.uniform(0.001, 0.02, n))
    low = np.minimum(opening, close) * np.exp(-rng.uniform(0.001, 0.02, n))
    volume = np.round(np.exp(rng.normal(11, 0.5, n)))
    return pd.DataFrame(
        {
            "Date": DAYS[COLUMNS - n : COLUMNS],
            "Code": code,
            "O": opening,
            "H": high,
            "L": low,
            "C": close,
            "Vo": volume,
            "Va": volume * (high + low) / 2,
            "AdjFactor": 1.0,
        }
    )


def flat_bars(price: float = 100.0, n: int = COLUMNS) -> pd.DataFrame:
    """Bars of one code that never leaves its price."""
    bars = random_bars(0, n=n)
    return bars.assign(O=price, H=price, L=price, C=price, Vo=1000.0, Va=1000.0 * price)


def without_trades(bars: pd.DataFrame, ago: range) -> pd.DataFrame:
    """The same bars with no trade on the columns that many days before the last one."""
    bars = bars.copy()
    bars.loc[len(bars) - 1 - np.array(ago), BAR_FIELDS] = np.nan
    return bars


def master_of(bars: pd.DataFrame, **fields: str) -> pd.DataFrame:
    """A master record for every bar."""
    record = {"Mkt": "0111", "S17": "1", "S33": "0050", "ScaleCat": "-", "Mrgn": "2", **fields}
    return bars[["Date", "Code"]].assign(**record)


def calendar_of(days: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    """Published calendar with the given trading days."""
    return pd.DataFrame({"Date": days, "HolDiv": "1"})


def market_of(
    bars: pd.DataFrame, master: pd.DataFrame | None = None, **tables: pd.DataFrame
) -> ReferenceMarket:
    """A market on the plain weekday calendar; ``tables`` by the name of their source."""
    listed = master_of(bars) if master is None else master
    return ReferenceMarket(bars, listed, calendar_of(), tables)


def crowd(n: int = 25) -> tuple[pd.DataFrame, pd.DataFrame]:
    """30 stocks in sectors of 26 and 4, and three more outside the universe."""
    codes = [f"{1301 + i}0" for i in range(33)]
    bars = pd.concat([random_bars(i, code, n=n) for i, code in enumerate(codes)])
    bars = bars.reset_index(drop=True)
    master = master_of(bars)
    master.loc[master["Code"].isin(codes[26:30]), "S33"] = "1050"
    master.loc[master["Code"] == codes[30], "Mkt"] = "0105"
    master.loc[master["Code"] == codes[31], "S33"] = "9999"
    for table in (bars, master):
        table.loc[table["Code"] == codes[32], "Code"] = "13325"
    return bars, master
