"""Hand-made markets with rows of fin-summary and fin-dividend beside their bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.market.panel.market_data import Market
from tests.market import hand
from tests.market.records import source

Row = Mapping[str, object]


def market_of(
    *stocks: hand.Stock,
    n_out: int,
    summary: Sequence[Row] = (),
    notices: Sequence[Row] = (),
) -> Market:
    """The stocks with their books; filings are counted in the columns of the stocks."""
    n = len(stocks[0].closes)
    return hand.assembled(
        *hand.tables(*stocks),
        hand.calendar(n),
        hand.weekdays(n),
        n_out,
        fin_summary=source("fin_summary", *summary).table,
        dividend=source("dividend", *notices).table,
    )


class Values:
    """What a family computes for a market, by column of the panel."""

    def __init__(self, family: ModuleType, market: Market) -> None:
        self._first = market.axis.first_wanted
        self._values: dict[str, FloatArray] = family.compute(market)
        assert sorted(self._values) == sorted(feature.name for feature in family.FEATURES)

    def of(self, name: str, *columns: int, code: int = 0) -> list[float]:
        """Values of one code on some columns."""
        return self._values[name][code, np.array(columns) - self._first].tolist()
