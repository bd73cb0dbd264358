"""The books of every company, quarter by quarter: what the disclosures will tell.

Time runs in months, from some before the market opens, so that the first disclosures have a
year behind them. In every month the companies whose quarter ends

1. earn: sales follow a drifting level, the season and the company's industry; margins revert;
2. keep their balance: profit less dividends goes into equity, cash flows into cash;
3. look ahead: forecasts are revised when the year runs away from them, and made anew at its end.

A few change the end of their fiscal year: the year of the change has three, five or six quarters.
Amounts are yen; dividends are yen per share counted as on the day of listing. Each month has a
stream of its own, so what comes later changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, FloatArray, IntArray
    from pipeline.simulator.companies.company_traits import Companies
    from pipeline.simulator.exchange.listings import Universe
    from pipeline.simulator.exchange.return_factors import Factors

SALES, OP, ODP, NP, CFO, CFI, CFF = range(7)
MONTHS_BEFORE = 20  # a whole year and its comparison quarter before the first disclosures

_NORMALS, _UNIFORMS = 13, 6
_TAX = 0.68  # profit after tax over ordinary profit
_DEPRECIATION = 0.03  # of sales
_YEAR_CHANGES = 0.004  # per company and year
_YEAR_LENGTHS = np.array([3, 5, 6])  # quarters of a year in which the end moves
_REVISED = np.array([0.10, 0.20, 0.25])  # after the first, second, third quarter and later
_DIVIDEND_REVISED = 0.05
_INTERIM_SHARE = 0.45
_NOT_YET = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class PeriodEnd:
    """Companies whose quarter ends in one month, one entry per company.

    Attributes:
        month: months since 1970-01.
        slot: (n,).
        quarter: (n,) 1 for the first of the fiscal year.
        final: (n,) True when the fiscal year ends.
        year_start: (n,) first month of the fiscal year; year_quarters: (n,) its length.
        flows: (7, n) cumulative from the start of the year: sales, operating, ordinary and net
            profit, operating, investing and financing cash flow.
        assets, equity, cash, treasury: (n,) at the end; treasury as a fraction of the shares.
        trailing_profit: (n,) net profit of four quarters, NaN when there is no such year.
        forecast: (4, n) sales to net profit of the year, as of this disclosure.
        forecast_before: (4, n) the same before it.
        next_forecast: (4, n) of the next year, NaN but for the year's last quarter.
        revised: (n,) True when ``forecast`` is news.
        dividend, dividend_before, next_dividend: (n,) of a year, as the forecasts.
    """

    month: int
    slot: IntArray
    quarter: IntArray
    final: BoolArray
    year_start: IntArray
    year_quarters: IntArray
    flows: FloatArray
    assets: FloatArray
    equity: FloatArray
    cash: FloatArray
    treasury: FloatArray
    trailing_profit: FloatArray
    forecast: FloatArray
    forecast_before: FloatArray
    next_forecast: FloatArray
    revised: BoolArray
    dividend: FloatArray
    dividend_before: FloatArray
    next_dividend: FloatArray


def interim_part(dividend: FloatArray, pays_interim: BoolArray) -> FloatArray:
    """What of a year's dividend is paid at the half year, in half yen."""
    part: FloatArray = np.where(pays_interim, np.round(2 * _INTERIM_SHARE * dividend) / 2, 0.0)
    return part


class Ledger:
    """Runs the books month by month; ``run`` may be called once.

    Args:
        seed: of the market.
    """

    def __init__(
        self, seed: int, universe: Universe, companies: Companies, factors: Factors
    ) -> None:
        self._seed = seed
        self._universe, self._companies, self._factors = universe, companies, factors
        self._months = universe.sessions.astype("datetime64[M]").astype(np.int64)
        n = len(universe.issues)
        issues = universe.issues
        value = issues.price * issues.shares
        self._level = np.log(value * companies.sales_to_value / 4)
        self._margin = companies.margin.copy()
        self._equity = value * companies.book_to_market
        self._cash = self._equity / companies.equity_ratio * 0.12
        self._treasury = np.full(n, 0.01)
        self._year_start = np.full(n, _NOT_YET)
        self._year_quarters = np.full(n, 4)
        self._year_before = np.full(n, 4)  # quarters of the year before
        self._seen = np.zeros(n, dtype=np.int64)  # quarters since the books opened
        self._flows = np.zeros((7, n))
        self._profits = np.zeros((4, n))  # net profit of the last four quarters, newest first
        self._forecast = np.zeros((4, n))
        self._dividend = np.zeros(n)

    def run(self, last_month: int) -> list[PeriodEnd]:
        """Period ends of all months up to ``last_month``, oldest first."""
        first = int(self._months[0]) - MONTHS_BEFORE
        return [self._run_month(month) for month in range(first, last_month + 1)]

    # -- one month ---------------------------------------------------------------------------

    def _run_month(self, month: int) -> PeriodEnd:
        block = month // 3 - int(self._months[0]) // 3
        known = int(self._universe.known[max(block, 0)])
        reports = self._companies.reports[:known]
        self._open_books(month, np.flatnonzero(reports & (self._year_start[:known] == _NOT_YET)))
        elapsed = month - self._year_start[:known] + 1
        due = np.flatnonzero(reports & (elapsed > 0) & (elapsed % 3 == 0))
        rng = stream(self._seed, "accounts", month)
        normal = rng.standard_normal((_NORMALS, known))[:, due]
        uniform = rng.random((_UNIFORMS, known))[:, due]
        quarter = elapsed[due] // 3
        final = quarter == self._year_quarters[due]
        self._earn(month, due, normal)
        self._settle(due, quarter, normal)
        end = self._look_ahead(month, due, quarter, final, normal, uniform)
        self._close_years(month, end, rng)
        return end

    def _open_books(self, month: int, new: IntArray) -> None:
        """A year half gone when a company becomes known is filled with average quarters."""
        if new.size == 0:
            return
        c = self._companies
        to_end = (c.year_end[new] - 1 - month) % 12
        self._year_start[new] = month + to_end - 11
        gone = (month - self._year_start[new]) // 3
        sales = np.exp(self._level[new])
        profit = sales * self._margin[new] * _TAX
        quarter = np.zeros((7, new.size))
        quarter[SALES], quarter[OP] = sales, sales * self._margin[new]
        quarter[ODP], quarter[NP] = quarter[OP], profit
        quarter[CFO], quarter[CFI] = profit + _DEPRECIATION * sales, -_DEPRECIATION * sales
        self._flows[:, new] = gone * quarter
        self._profits[:, new] = profit
        self._forecast[:, new] = 4 * quarter[:4]
        shares = self._universe.issues.shares[new]
        dividend = np.where(c.pays[new], c.payout[new] * np.maximum(4 * profit, 0) / shares, 0.0)
        self._dividend[new] = _half_yen(dividend)

    def _earn(self, month: int, due: IntArray, normal: FloatArray) -> None:
        c = self._companies
        trend = self._industry_return(month)[self._industry(month, due)]
        noise = c.volatility[due] * normal[0]
        self._level[due] += c.growth[due] / 4 + 0.10 * trend + noise
        season = c.season[due] * np.sin(0.5 * np.pi * ((month // 3) % 4) + due)
        sales = np.exp(self._level[due] + season)
        margin = c.margin[due] + 0.7 * (self._margin[due] - c.margin[due]) + 0.02 * normal[1]
        self._margin[due] = margin
        op = sales * margin
        ordinary = op + 0.006 * sales * normal[2]
        net = ordinary * _TAX + 0.012 * sales * normal[3]
        depreciation = _DEPRECIATION * sales
        operating = net + depreciation + 0.04 * sales * normal[4]
        investing = -1.1 * depreciation + 0.02 * sales * normal[5]
        financing = -0.6 * (operating + investing) + 0.01 * sales * normal[6]
        self._flows[:, due] += np.stack([sales, op, ordinary, net, operating, investing, financing])
        self._profits[1:, due] = self._profits[:-1, due]
        self._profits[0, due] = net
        moved = self._cash[due] + operating + investing + financing
        self._cash[due] = np.maximum(moved, 0.05 * sales)
        self._seen[due] += 1

    def _settle(self, due: IntArray, quarter: IntArray, normal: FloatArray) -> None:
        """Profit into equity; dividends and buy-backs out of it."""
        c = self._companies
        paid = interim_part(self._dividend[due], c.pays_interim[due])
        paid = np.where(quarter == 2, self._dividend[due] - paid, np.where(quarter == 4, paid, 0))
        after = self._equity[due] + self._profits[0, due] - paid * self._universe.issues.shares[due]
        buyback = np.clip(normal[7] - 1.0, 0.0, 2.0) * 0.006
        after -= buyback * np.maximum(after, 0)
        self._equity[due] = np.maximum(after, 0.1 * np.exp(self._level[due]))
        reissued = np.where(normal[7] < -1.9, 0.4, 1.0)
        self._treasury[due] = np.clip(self._treasury[due] * reissued + buyback, 0.0, 0.15)

    def _look_ahead(
        self,
        month: int,
        due: IntArray,
        quarter: IntArray,
        final: BoolArray,
        normal: FloatArray,
        uniform: FloatArray,
    ) -> PeriodEnd:
        c = self._companies
        flows = self._flows[:, due].copy()
        before, dividend_before = self._forecast[:, due].copy(), self._dividend[due].copy()
        revised = uniform[0] < _REVISED[np.minimum(quarter, 3) - 1]
        outlook = flows[:4] + (self._year_quarters[due] - quarter) * self._run_rate(due)
        outlook *= 1 + 0.02 * normal[8]
        forecast = np.where(revised, outlook, before)
        changed = c.pays[due] & (uniform[1] < _DIVIDEND_REVISED)
        step = np.array([1.1, 1.2, 1.5, 0.7])[(uniform[2] * 4).astype(np.int64)]
        dividend = np.where(changed, _half_yen(dividend_before * step + 0.5), dividend_before)
        next_forecast = 4 * self._run_rate(due) * np.exp(c.growth[due]) * (1 + 0.03 * normal[9])
        return PeriodEnd(
            month=month,
            slot=due,
            quarter=quarter,
            final=final,
            year_start=self._year_start[due].copy(),
            year_quarters=self._year_quarters[due].copy(),
            flows=flows,
            assets=self._equity[due] / self._equity_ratio(due, normal[10]),
            equity=self._equity[due].copy(),
            cash=self._cash[due].copy(),
            treasury=self._treasury[due].copy(),
            trailing_profit=self._trailing_profit(due, final),
            forecast=forecast,
            forecast_before=before,
            next_forecast=np.where(final, next_forecast, np.nan),
            revised=revised,
            dividend=dividend,
            dividend_before=dividend_before,
            next_dividend=np.where(final, self._next_dividend(due, next_forecast, uniform), np.nan),
        )

    def _run_rate(self, due: IntArray) -> FloatArray:
        """An average quarter from here on: sales to net profit, (4, n)."""
        c = self._companies
        sales = np.exp(self._level[due])
        op = sales * (0.5 * self._margin[due] + 0.5 * c.margin[due])
        return np.stack([sales, op, op, op * _TAX])

    def _equity_ratio(self, due: IntArray, noise: FloatArray) -> FloatArray:
        ratio = self._companies.equity_ratio[due]
        return np.clip(ratio * np.exp(0.03 * noise), 0.02, 0.95)

    def _trailing_profit(self, due: IntArray, final: BoolArray) -> FloatArray:
        """Four quarters can be had from a year and the one before when both are whole."""
        whole = self._year_quarters[due] == 4
        usable = whole & (final | (self._year_before[due] == 4)) & (self._seen[due] >= 4)
        trailing: FloatArray = np.where(usable, self._profits[:, due].sum(axis=0), np.nan)
        return trailing

    def _next_dividend(
        self, due: IntArray, forecast: FloatArray, uniform: FloatArray
    ) -> FloatArray:
        """Companies are slow to change it, and slower to cut it."""
        c = self._companies
        profit = np.maximum(forecast[NP], 0) / self._universe.issues.shares[due]
        target = c.payout[due] * profit
        now = self._dividend[due]
        moved = now + np.where(target > now, 0.5, 0.25) * (target - now)
        chosen = np.where(uniform[3] < 0.55, moved, now)
        return np.where(c.pays[due], _half_yen(chosen), 0.0)

    def _close_years(self, month: int, end: PeriodEnd, rng: np.random.Generator) -> None:
        self._forecast[:, end.slot] = end.forecast
        self._dividend[end.slot] = end.dividend
        done = end.slot[end.final]
        self._forecast[:, done] = end.next_forecast[:, end.final]
        self._dividend[done] = end.next_dividend[end.final]
        self._flows[:, done] = 0.0
        self._year_start[done] = month + 1
        self._year_before[done] = self._year_quarters[done]
        self._year_quarters[done] = 4
        count = min(done.size, max(round(_YEAR_CHANGES * done.size), int(rng.random() < 0.3)))
        # Companies that have just moved stay for a while.
        movers = rng.permutation(done[self._year_before[done] == 4])[:count]
        self._year_quarters[movers] = rng.choice(_YEAR_LENGTHS, movers.size)

    # -- the economy -------------------------------------------------------------------------

    def _industry(self, month: int, due: IntArray) -> IntArray:
        t = min(max(int(np.searchsorted(self._months, month)), 0), self._months.size - 1)
        industry = self._universe.industry[t, due].astype(np.int64)
        own: IntArray = np.minimum(industry, self._factors.industry.shape[1] - 1)
        return own

    def _industry_return(self, month: int) -> FloatArray:
        """Log return of every industry over the three months that end with ``month``."""
        first = int(np.searchsorted(self._months, month - 2))
        stop = int(np.searchsorted(self._months, month, side="right"))
        market = self._factors.market[first:stop].sum()
        total: FloatArray = market + self._factors.industry[first:stop].sum(axis=(0, 2))
        return total


def _half_yen(amount: FloatArray) -> FloatArray:
    return np.round(2 * np.maximum(amount, 0.0)) / 2
