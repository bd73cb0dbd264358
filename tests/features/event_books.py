"""Markets of hand-made stocks with the books of records the event families read."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from pipeline.features.engine.column_spec import FloatArray
from pipeline.market.books.announcement_dates import earnings_schedule
from pipeline.market.books.earnings_reaction import earnings_events
from pipeline.market.panel.market_data import Market
from pipeline.market.positioning.margin_balance import margin_records
from pipeline.market.positioning.margin_disclosures import margin_alerts
from pipeline.market.positioning.short_reports import short_reports
from tests.market import hand
from tests.market.records import source

Rows = list[dict[str, object]]

BOOKS = {
    "margin": ("margin_interest", margin_records),
    "alerts": ("margin_alert", margin_alerts),
    "short_reports": ("short_sale", short_reports),
    "schedule": ("earnings_date", earnings_schedule),
    "reactions": ("fin_summary", earnings_events),
}


def market_with(
    *stocks: hand.Stock,
    n_out: int,
    shares: float | FloatArray = 1e6,
    topix: FloatArray | None = None,
    **rows: Rows,
) -> Market:
    """The stocks, and the books of the sources named in ``rows``; all others are empty.

    Args:
        stocks: see ``hand``.
        n_out: wanted columns.
        shares: shares outstanding, anything that broadcasts to codes x columns.
        topix: (columns,) closes, 100 by default.
        rows: records by book.
    """
    market = hand.market(*stocks, n_out=n_out)
    shape = market.axis.adj_factor.shape
    books = {
        book: build(source(name, *rows.get(book, [])), market.axis)
        for book, (name, build) in BOOKS.items()
    }
    return replace(
        market,
        statements=SimpleNamespace(shares=np.broadcast_to(shares, shape)),
        topix=SimpleNamespace(c=np.full(shape[1], 100.0) if topix is None else topix),
        **books,
    )


def of_code(market: Market, values: FloatArray, code: str = "10010") -> FloatArray:
    """(n_out,) a family's result as stored for one code."""
    picked: FloatArray = market.panel.pick(values)[np.searchsorted(market.panel.codes, code)]
    return picked
