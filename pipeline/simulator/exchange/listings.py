"""Who is listed when, and with which attributes: everything about issues except prices.

Time is cut into blocks, one per calendar quarter, each with a stream of its own. The events of
a block (listings, delistings, absences, halts, moves between segments, industries and size
buckets) depend only on the blocks before it. So a market that ends later has the same past, and
even a small or short market has one event of every kind in every block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulator.array_types import stacked, taken
from pipeline.simulator.exchange import code_tables
from pipeline.simulator.exchange.new_issues import CodeBook, Issues, draw_issues, preferred_of
from pipeline.simulator.random_streams import stream

if TYPE_CHECKING:
    from pipeline.simulator.array_types import BoolArray, CodeArray, DateArray, IntArray
    from pipeline.simulator.market_spec import MarketSpec

REORGANISATION = np.datetime64("2022-04-04")  # sections became Prime, Standard and Growth
_JASDAQ_AT_THE_EXCHANGE = np.datetime64("2013-07-16")
_LETTERS_SINCE = np.datetime64("2024-01-01")

# events per ordinary share and quarter
_LISTINGS, _DELISTINGS = 0.0062, 0.0055
_ABSENCES, _HALTS = 0.0003, 0.003
_TIER_MOVES, _INDUSTRY_MOVES, _BUCKET_MOVES, _MARGIN_MOVES = 0.001, 0.0005, 0.002, 0.002
_BUCKET_AFTER = 30  # sessions from a Prime listing to the first size bucket


@dataclass(frozen=True)
class Shock:
    """A jump of one issue's value at the start of a session, and its new level of noise."""

    session: int
    slot: int
    log_jump: float
    vol_scale: float


@dataclass(frozen=True, eq=False)
class Universe:
    """Issues are *slots*, numbered in the order in which they became known.

    Attributes:
        sessions: (sessions,) dates, whole quarters from the market's start on.
        block_start: (blocks + 1,) first session of each block, then the number of sessions.
        known: (blocks,) slots that exist in each block.
        issues: traits of all slots.
        listed: (sessions, slots).
        halted: (sessions, slots) True where trading is suspended.
        quiet: (blocks, slots) True where nothing else happens to the issue in that block.
        segment, industry, bucket, margin: (sessions, slots) indices into ``tables``.
        shocks: by session.
        by_code: slots in ascending order of their codes.
    """

    sessions: DateArray
    block_start: IntArray
    known: IntArray
    issues: Issues
    listed: BoolArray
    halted: BoolArray
    quiet: BoolArray
    segment: CodeArray
    industry: CodeArray
    bucket: CodeArray
    margin: CodeArray
    shocks: tuple[Shock, ...]
    by_code: IntArray


def make_universe(spec: MarketSpec, sessions: DateArray) -> Universe:
    """The universe over ``sessions``, which must be whole quarters after the first date."""
    builder = _Builder(spec, sessions)
    for block in range(builder.block_start.size - 1):
        builder.run_block(block)
    return builder.finish()


class _Builder:
    def __init__(self, spec: MarketSpec, sessions: DateArray) -> None:
        self.spec, self.sessions = spec, sessions
        quarter = sessions.astype("datetime64[M]").astype(np.int64) // 3
        starts = np.flatnonzero(np.diff(quarter, prepend=quarter[0] - 1))
        self.block_start: IntArray = np.append(starts, sessions.size).astype(np.int64)
        self.quarter_number = quarter[starts]
        self.reorganised = int(np.searchsorted(sessions, REORGANISATION))
        self.codes = CodeBook(spec.seed)
        self.parts: list[Issues] = []
        self.rows: list[_SlotRows] = []
        self.known: list[int] = []
        self.busy_until: list[int] = []  # per slot: no further event before this session
        self.quiet: list[BoolArray] = []
        self.shocks: list[Shock] = []

    # -- one block ---------------------------------------------------------------------------

    def run_block(self, block: int) -> None:
        first, stop = int(self.block_start[block]), int(self.block_start[block + 1])
        rng = stream(self.spec.seed, "universe", int(self.quarter_number[block]))
        if block == 0:
            self._open_market(rng)
        old = len(self.rows)
        candidates = self._candidates(rng, first)
        for event, rate in (
            (self._delist, _DELISTINGS),
            (self._vanish, _ABSENCES),
            (self._halt, _HALTS),
            (self._move_tier, _TIER_MOVES),
            (self._move_industry, _INDUSTRY_MOVES),
            (self._move_bucket, _BUCKET_MOVES),
            (self._move_margin, _MARGIN_MOVES),
        ):
            for _ in range(self._count(rate)):
                if candidates:
                    slot = candidates.pop()
                    self.busy_until[slot] = stop
                    event(rng, slot, first, stop)
        self._list_new(rng, first, stop)
        quiet = np.array([until <= first for until in self.busy_until[:old]], dtype=np.bool_)
        self.quiet.append(np.append(quiet, np.zeros(len(self.rows) - old, dtype=np.bool_)))
        self.known.append(len(self.rows))

    def _count(self, rate: float) -> int:
        return max(1, round(rate * self.spec.stocks))

    def _candidates(self, rng: np.random.Generator, first: int) -> list[int]:
        """Ordinary shares to which something may happen, in random order."""
        free = [
            slot
            for slot, row in enumerate(self.rows)
            if row.kind == code_tables.ORDINARY
            and row.listed[first]
            and self.busy_until[slot] <= first
        ]
        # A small market keeps some issues to which nothing happens.
        order = rng.permutation(len(free))[: max(1, (2 * len(free)) // 3)]
        return [free[i] for i in order]

    # -- listings ----------------------------------------------------------------------------

    def _open_market(self, rng: np.random.Generator) -> None:
        stocks = self.spec.stocks
        funds, reits, pro = (max(1, round(stocks * r)) for r in (0.065, 0.015, 0.02))
        kinds = (
            [code_tables.ORDINARY] * stocks + [code_tables.ETF] * funds + [code_tables.REIT] * reits
        )
        kinds += [code_tables.PRO] * pro
        with_letter = self._initial_with_letter()
        codes = self.codes.take(code_tables.ORDINARY, stocks - with_letter, with_letter=False)
        codes += self.codes.take(code_tables.ORDINARY, with_letter, with_letter=True)
        for kind, count in (
            (code_tables.ETF, funds),
            (code_tables.REIT, reits),
            (code_tables.PRO, pro),
        ):
            codes += self.codes.take(kind, count, with_letter=False)
        issues = draw_issues(rng, codes, kinds)
        issues.trades[0] = 0.5  # at least one issue with many days without a trade
        parents = np.zeros(len(issues), dtype=np.bool_)
        parents[1 : 2 + stocks // 1000] = True
        everyone = stacked([issues, preferred_of(taken(issues, parents))])
        self._add(everyone, 0, _size_buckets(everyone))

    def _initial_with_letter(self) -> int:
        years = (self.sessions[0] - _LETTERS_SINCE) / np.timedelta64(365, "D")
        if years < 0:
            return 0
        return min(self.spec.stocks // 2, max(1, round(0.025 * float(years) * self.spec.stocks)))

    def _list_new(self, rng: np.random.Generator, first: int, stop: int) -> None:
        count = self._count(_LISTINGS)
        # Not on the first days of the market: what is there then was always there.
        days = np.sort(rng.integers(first + (stop - first) // 8, stop, count))
        kinds = [code_tables.ETF if i % 8 == 7 else code_tables.ORDINARY for i in range(count)]
        for day, kind in zip(days.tolist(), kinds, strict=True):
            with_letter = bool(self.sessions[day] >= _LETTERS_SINCE)
            issue = draw_issues(rng, self.codes.take(kind, 1, with_letter=with_letter), [kind])
            bucket = np.full(1, code_tables.NO_BUCKET, dtype=np.int8)
            self._add(issue, day, bucket)
            row = self.rows[-1]
            row.listed[:day] = False
            if kind == code_tables.ORDINARY and row.tier == code_tables.SEGMENT["0111"]:
                row.bucket[day + _BUCKET_AFTER :] = code_tables.SMALL2

    def _add(self, issues: Issues, day: int, buckets: CodeArray) -> None:
        total = self.sessions.size
        self.parts.append(issues)
        for i in range(len(issues)):
            old_tier = int(issues.old_tier[i])
            if self.sessions[day] < _JASDAQ_AT_THE_EXCHANGE:
                old_tier = _before_jasdaq(old_tier)
            segment = np.full(total, issues.tier[i], dtype=np.int8)
            segment[: self.reorganised] = old_tier
            large = buckets[i] <= code_tables.SMALL1
            margin = code_tables.LOANABLE if large else code_tables.MARGIN_ONLY
            if issues.kind[i] == code_tables.PRO:
                margin = code_tables.NO_MARGIN
            self.rows.append(
                _SlotRows(
                    kind=int(issues.kind[i]),
                    tier=int(issues.tier[i]),
                    listed=np.ones(total, dtype=np.bool_),
                    halted=np.zeros(total, dtype=np.bool_),
                    segment=segment,
                    industry=np.full(total, issues.industry[i], dtype=np.int8),
                    bucket=np.full(total, buckets[i], dtype=np.int8),
                    margin=np.full(total, margin, dtype=np.int8),
                )
            )
            self.busy_until.append(day + 1)

    # -- events ------------------------------------------------------------------------------

    def _delist(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        """Announcement, some weeks of final sessions, then no more rows."""
        announced = int(rng.integers(first + 1, stop)) if stop > first + 1 else first
        last = announced + int(rng.integers(12, 32))
        self.rows[slot].listed[last + 1 :] = False
        self.busy_until[slot] = 1 << 40
        if rng.random() < 0.75:  # a tender offer: a jump, then hardly a move
            self.shocks.append(Shock(announced, slot, float(rng.uniform(0.15, 0.5)), 0.1))
        else:  # a failure: collapse over several limit-down days
            self.shocks.append(Shock(announced, slot, float(rng.uniform(-2.5, -1.0)), 2.5))

    def _vanish(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        """Leaves the list for 22 to 45 sessions and comes back under the same code."""
        gone = int(rng.integers(first, stop))
        back = gone + int(rng.integers(22, 46))
        gone = max(gone, 1)
        self.rows[slot].listed[gone:back] = False
        self.busy_until[slot] = back + 1
        self.shocks.append(Shock(back, slot, float(rng.normal(0.0, 0.2)), 1.0))

    def _halt(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        """Suspended for 1 to 6 sessions; reopens on the news."""
        day, days = int(rng.integers(first, stop)), int(rng.integers(1, 7))
        self.rows[slot].halted[day : day + days] = True
        self.busy_until[slot] = max(stop, day + days)
        self.shocks.append(Shock(day + days, slot, float(rng.normal(0.0, 0.15)), 1.0))

    def _move_tier(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        row, segment = self.rows[slot], code_tables.SEGMENT
        day = int(rng.integers(first, stop))
        up = row.tier != segment["0111"]
        row.tier = segment["0111" if up else "0112"]
        row.segment[max(day, self.reorganised) :] = row.tier
        row.segment[min(day, self.reorganised) : self.reorganised] = segment[
            "0101" if up else "0102"
        ]
        row.bucket[day:] = code_tables.SMALL2 if up else code_tables.NO_BUCKET

    def _move_industry(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        row = self.rows[slot]
        step = int(rng.integers(1, code_tables.OTHER_INDUSTRY))
        day = int(rng.integers(first, stop))
        row.industry[day:] = (row.industry[day] + step) % code_tables.OTHER_INDUSTRY

    def _move_bucket(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        row = self.rows[slot]
        day = int(rng.integers(first, stop))
        lower = row.bucket[day] >= code_tables.SMALL2
        row.bucket[day:] = code_tables.SMALL1 if lower else row.bucket[day] + 1

    def _move_margin(self, rng: np.random.Generator, slot: int, first: int, stop: int) -> None:
        row = self.rows[slot]
        day = int(rng.integers(first, stop))
        loanable = row.margin[day] == code_tables.LOANABLE
        row.margin[day:] = code_tables.MARGIN_ONLY if loanable else code_tables.LOANABLE

    # -- result ------------------------------------------------------------------------------

    def finish(self) -> Universe:
        issues = stacked(self.parts)
        quiet = np.zeros((len(self.quiet), len(issues)), dtype=np.bool_)
        for block, row in enumerate(self.quiet):
            quiet[block, : row.size] = row
        return Universe(
            sessions=self.sessions,
            block_start=self.block_start,
            known=np.array(self.known, dtype=np.int64),
            issues=issues,
            listed=np.stack([row.listed for row in self.rows], axis=1),
            halted=np.stack([row.halted for row in self.rows], axis=1),
            quiet=quiet,
            segment=np.stack([row.segment for row in self.rows], axis=1),
            industry=np.stack([row.industry for row in self.rows], axis=1),
            bucket=np.stack([row.bucket for row in self.rows], axis=1),
            margin=np.stack([row.margin for row in self.rows], axis=1),
            shocks=tuple(sorted(self.shocks, key=lambda s: (s.session, s.slot))),
            by_code=np.argsort(issues.code.astype("U5"), kind="stable"),
        )


@dataclass(eq=False)
class _SlotRows:
    """What the builder knows of one slot over all sessions; edited as events come.

    ``tier`` is the segment of the present system, also before 2022-04-04. It is kept apart from
    the array, whose end depends on how far the market runs.
    """

    kind: int
    tier: int
    listed: BoolArray
    halted: BoolArray
    segment: CodeArray
    industry: CodeArray
    bucket: CodeArray
    margin: CodeArray


def _before_jasdaq(tier: int) -> int:
    """JASDAQ issues are not in the data before July 2013; the nearest section stands in."""
    nearest = {"0106": "0102", "0107": "0104"}
    code = code_tables.SEGMENTS[tier][0]
    return code_tables.SEGMENT[nearest.get(code, code)]


def _size_buckets(issues: Issues) -> CodeArray:
    """TOPIX size buckets by market value among the Prime stocks, in the real proportions."""
    prime = (issues.kind == code_tables.ORDINARY) & (issues.tier == code_tables.SEGMENT["0111"])
    value = np.where(prime, issues.price * issues.shares, -1.0)
    rank = np.empty(len(issues), dtype=np.int64)
    rank[np.argsort(-value, kind="stable")] = np.arange(len(issues))
    stocks = int((issues.kind == code_tables.ORDINARY).sum())
    edges = [max(i + 1, round(n * stocks / 3800)) for i, n in enumerate((30, 100, 500, 1000))]
    bucket = np.searchsorted(edges, rank, side="right").astype(np.int8)
    bucket[~prime] = code_tables.NO_BUCKET
    return bucket
