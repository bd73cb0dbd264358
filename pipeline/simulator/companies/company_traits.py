"""What kind of company stands behind each issue: traits of its accounts that stay for life."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.exchange import code_tables
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, CodeArray, FloatArray, IntArray
    from pipeline.simulator.exchange.listings import Universe
    from pipeline.simulator.exchange.new_issues import Issues

JP, IFRS, US, JMIS, FOREIGN = range(5)
STANDARDS: Final = ("JP", "IFRS", "US", "JMIS", "Foreign")
_STANDARD_SHARES = np.array([0.885, 0.09, 0.012, 0.005, 0.008])

# Share of companies whose fiscal year ends in January, February, ..., December.
_YEAR_END_SHARES = np.array([1, 5, 62, 1, 2, 5, 2, 3, 6, 2, 1, 10]) / 100

_BANKS, _BANK_EQUITY_RATIO = "15", 0.06  # a TOPIX-17 sector
_NORMALS, _UNIFORMS = 9, 7


@dataclass(frozen=True, eq=False)
class Companies:
    """Traits, all (issues,).

    Attributes:
        reports: True for issues whose companies disclose accounts (not funds, not preferred
            shares: their company discloses under the common share).
        year_end: month of the fiscal year's end, 1 to 12.
        standard: index into ``STANDARDS``.
        consolidated: False for companies without subsidiaries.
        guides: gives forecasts.
        half_guides: gives forecasts for the half year, too.
        pays, pays_interim: dividends at all; also at the half year.
        lag_days: from the end of a quarter to the disclosure.
        book_to_market: equity over market value at listing.
        sales_to_value: annual sales over market value at listing.
        margin: long-run operating profit over sales.
        equity_ratio: long-run equity over assets.
        growth: long-run growth of sales, log per year.
        payout: dividends over profit.
        season: size of the seasonal swing of sales.
        volatility: standard deviation of the quarterly noise of log sales.
    """

    reports: BoolArray
    year_end: IntArray
    standard: CodeArray
    consolidated: BoolArray
    guides: BoolArray
    half_guides: BoolArray
    pays: BoolArray
    pays_interim: BoolArray
    lag_days: FloatArray
    book_to_market: FloatArray
    sales_to_value: FloatArray
    margin: FloatArray
    equity_ratio: FloatArray
    growth: FloatArray
    payout: FloatArray
    season: FloatArray
    volatility: FloatArray


def make_companies(seed: int, universe: Universe) -> Companies:
    """Traits of all issues, drawn in the block in which an issue becomes known."""
    parts, done = [], 0
    for block, known in enumerate(universe.known.tolist()):
        day = universe.sessions[universe.block_start[block]]
        rng = stream(seed, "companies", int(day.astype(np.int64)))
        parts.append(_draw(rng, universe.issues, slice(done, known)))
        done = known
    return Companies(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Companies)}
    )


def _draw(rng: np.random.Generator, issues: Issues, new: slice) -> Companies:
    kind, industry = issues.kind[new], issues.industry[new]
    z = rng.standard_normal((_NORMALS, kind.size))
    u = rng.random((_UNIFORMS, kind.size))
    ordinary = kind == code_tables.ORDINARY
    ratio = np.clip(0.48 + 0.17 * z[2], 0.08, 0.92)
    bank = np.isin(
        industry, [i for i, row in enumerate(code_tables.INDUSTRIES) if row[2] == _BANKS]
    )
    standard = np.searchsorted(np.cumsum(_STANDARD_SHARES), u[1], side="right")
    consolidated = (u[2] < 0.83) | ((standard != JP) & (standard != FOREIGN))
    return Companies(
        reports=ordinary | (kind == code_tables.PRO),
        year_end=(np.searchsorted(np.cumsum(_YEAR_END_SHARES), u[0] * 0.999) + 1).astype(np.int64),
        standard=np.minimum(standard, FOREIGN).astype(np.int8),
        consolidated=consolidated,
        guides=u[3] < 0.93,
        half_guides=u[4] < 0.5,
        pays=u[5] < 0.8,
        pays_interim=u[6] < 0.62,
        lag_days=np.clip(37.0 + 5.0 * z[0], 22.0, 46.0),
        book_to_market=np.exp(-0.1 + 0.5 * z[1]),
        sales_to_value=np.exp(0.1 + 0.6 * z[3]),
        margin=np.clip(0.075 + 0.045 * z[4], -0.06, 0.35),
        equity_ratio=np.where(bank, _BANK_EQUITY_RATIO, ratio),
        growth=0.03 + 0.05 * z[5],
        payout=np.clip(0.32 + 0.12 * z[6], 0.05, 0.9),
        season=0.10 * np.abs(z[7]),
        volatility=0.03 * np.exp(0.4 * z[8]),
    )
