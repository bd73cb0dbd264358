"""One small market for all tests: two years with the halt of 2020 and the reform of 2022."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from pipeline.simulator import Market, MarketSpec

START, END = date(2020, 7, 1), date(2022, 6, 30)
SPEC = MarketSpec(seed=11, stocks=60, start=START, end=END)


@pytest.fixture(scope="session")
def market() -> Market:
    return Market(SPEC)


@pytest.fixture(scope="session")
def bars(market: Market) -> dict[str, np.ndarray]:
    """All daily bars of the market."""
    return market.rows("daily_bars", START, END)


@pytest.fixture(scope="session")
def listed(market: Market) -> dict[str, np.ndarray]:
    """All master records of the market."""
    return market.rows("listed", START, END)


@pytest.fixture(scope="session")
def recent() -> Market:
    """A market of 2026: daily margin balances, disclosures at once, the newest fields."""
    return Market(MarketSpec(seed=5, stocks=30, start=date(2026, 1, 5), end=date(2026, 10, 30)))
