"""The engine, from raw tables to base values and transforms, against the brute-force reference.

The pairs (date, code) are drawn from small synthetic markets, most of them where something
happens to the code: a split, a halt, a listing, a return to the list, a change of tier.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import pytest

from pipeline.features.engine import catalogue
from pipeline.features.engine.transforms import HISTORY, transforms_of
from pipeline.simulator import MarketSpec
from tests.markets import (
    OPTIONS_FROM,
    SPEC,
    Chunk,
    Tables,
    accident_codes,
    between,
    build,
    simulated,
    with_accidents,
)
from tests.reference import transforms as reference_transforms
from tests.reference.brute import NAMES, ReferenceMarket, base_value

PER_KIND = 9  # pairs of every kind of event and market
SOON = (0, 1, 4, 19, 20, 21)  # columns after an event
LATE = (59, 60, 249, 250, 251)
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Case:
    """One market and one chunk of it; ``accidents`` are codes to look at in any case."""

    tables: Tables
    chunk: Chunk
    accidents: list[str] = field(default_factory=list)

    @cached_property
    def reference(self) -> ReferenceMarket:
        frames = {name: table.to_pandas() for name, table in self.tables.sources.items()}
        bars, listed = frames.pop("daily_bars"), frames.pop("listed")
        return ReferenceMarket(bars, listed, self.tables.calendar.to_pandas(), frames)

    @cached_property
    def members(self) -> pd.DataFrame:
        """(sessions, codes) True where the chunk has a row."""
        panel, days = self.chunk.market.panel, self.chunk.sessions.size
        universe = self.chunk.market.master.universe[:, -days:].T
        return pd.DataFrame(universe, index=self.chunk.sessions, columns=panel.codes)

    def events(self) -> Iterator[tuple[str, np.ndarray]]:
        """Kind of event, and where it happens: (codes, columns of the panel)."""
        panel, master = self.chunk.market.panel, self.chunk.market.master
        traded = np.zeros(master.universe.shape, bool)
        np.logical_or.at(traded, panel.line_code, ~np.isnan(panel.c))
        no_trade = master.universe & ~traded
        failure = ~traded.any(axis=0)
        tier, before = master.tier[:, 1:], master.tier[:, :-1]
        yield "split", master.adj_factor != 1.0
        yield "no trade", no_trade & ~failure
        yield "system failure", no_trade & failure
        yield "listing or return", after_null(master.universe[:, 1:] & ~master.universe[:, :-1])
        yield "tier", after_null((tier != before) & ~np.isnan(tier) & ~np.isnan(before))

    def pairs(self) -> dict[str, list[tuple[np.datetime64, str]]]:
        """Kind of event -> pairs (session, code) soon and long after such events; the last days of
        codes that leave; days of the accidents; some at random besides."""
        rng = np.random.default_rng(5)
        member = np.array(self.members)
        found = {"any": np.argwhere(member)}
        found["delisting"] = np.argwhere(member & ~np.vstack([member[1:], member[-1:]]))
        for code in self.accidents:
            found[code] = np.argwhere(member & (self.members.columns == code))
        for kind, where in self.events():
            found[f"{kind}, just now"] = self._after(where, SOON)
            found[f"{kind}, once"] = self._after(where, LATE)
        codes = self.chunk.market.panel.codes
        return {
            kind: [
                (self.chunk.sessions[day], str(codes[code]))
                for day, code in rng.permutation(places)[:PER_KIND]
            ]
            for kind, places in found.items()
        }

    def _after(self, where: np.ndarray, distances: tuple[int, ...]) -> np.ndarray:
        """(pairs, 2) day and code, at some distances from events (codes, columns)."""
        member = np.array(self.members)
        codes, columns = np.nonzero(where)
        days = columns - (where.shape[1] - member.shape[0])
        after = {
            (int(day) + distance, int(code))
            for day, code in zip(days, codes, strict=True)
            for distance in distances
        }
        inside = sorted(p for p in after if 0 <= p[0] < member.shape[0] and member[p])
        return np.array(inside, dtype=np.int64).reshape(-1, 2)


def after_null(changes: np.ndarray) -> np.ndarray:
    """With a first column in which nothing can have changed."""
    return np.hstack([np.zeros((changes.shape[0], 1), bool), changes])


def quarter_of_the_failure() -> Case:
    """2020Q4: begins with the day without a trade, and has the accidents."""
    plain = simulated(SPEC, OPTIONS_FROM)
    tables = with_accidents(plain, "2020-10-01")
    accidents = accident_codes(plain, "2020-10-01")
    return Case(tables, build(tables, "2020-10-01", "2020-12-31"), accidents)


def half_year_of_the_reorganisation() -> Case:
    """2022, January to June: every code changes its segment on 2022-04-04, few their tier."""
    spec = MarketSpec(seed=3, stocks=60, start=dt.date(2016, 9, 1), end=dt.date(2022, 6, 30))
    tables = simulated(spec, dt.date(2020, 7, 1))
    return Case(tables, build(tables, "2022-01-01", "2022-06-30"))


def first_months_of_the_data() -> Case:
    """February to April 2015: hardly any history, not even for all transforms."""
    tables = simulated(SPEC, OPTIONS_FROM)
    return Case(tables, build(tables, "2015-02-01", "2015-04-30"))


CASES = (quarter_of_the_failure, half_year_of_the_reorganisation, first_months_of_the_data)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    made: Case = request.param()
    return made


def test_the_universe_is_that_of_the_reference(case: Case):
    """The same members on every day."""
    for session, present in case.members.iterrows():
        expected = case.reference.universe(session.date())
        assert list(present.index[present]) == expected, session


def test_base_values_agree_with_the_reference(case: Case):
    """All features of the reference, nulls exactly, values to 1e-9."""
    wrong = []
    pairs = {pair: kind for kind, pairs in case.pairs().items() for pair in pairs}
    for (session, code), kind in pairs.items():
        for name in NAMES:
            expected = base_value(case.reference, name, session.astype(object), code)
            seen = case.chunk.value(name, session, code)
            if not agrees(seen, expected):
                wrong.append((name, str(session), code, kind, seen, expected))
    assert not wrong, f"{len(wrong)} values, first {wrong[:10]}"


FLAGS = ("_outlier_flag", "_cs_top20_flag", "_cs_bottom20_flag")


def test_transforms_agree_with_the_reference(case: Case):
    """All derived columns of some days and codes, from the engine's own base values."""
    rng = np.random.default_rng(6)
    rows = case.chunk.rows()
    wrong = []
    for session in rng.choice(case.chunk.sessions, 3, replace=False):
        day = between(rows, session, session).to_pydict()
        for place in rng.permutation(len(day["Code"]))[:8]:
            for name, expected in expected_transforms(case, session, day["Code"][place]).items():
                seen = day[name][place]
                if not agrees_in_float32(name, seen, expected):
                    wrong.append((name, str(session), day["Code"][place], seen, expected))
    assert not wrong, f"{len(wrong)} values, first {wrong[:10]}"


def expected_transforms(case: Case, session: np.datetime64, code: str) -> dict[str, float | None]:
    """Derived columns of one row by the reference's operators."""
    chunk, day = case.chunk, session.astype(object)
    members = case.reference.universe(day)
    own = case.reference.listings(code)[day].s33
    peers = [c for c in members if case.reference.listings(c)[day].s33 == own]
    column = HISTORY + int(np.searchsorted(chunk.sessions, session))
    row = {c: i for i, c in enumerate(chunk.market.panel.codes.tolist())}
    expected: dict[str, float | None] = {}
    for feature in catalogue.features():
        values = np.broadcast_to(
            chunk.base[feature.name], (len(row), HISTORY + chunk.sessions.size)
        )
        now = {c: none_if_nan(values[row[c], column]) for c in members}
        history = [none_if_nan(x) for x in values[row[code], column - HISTORY : column]]
        inputs = {
            "time_series": history,
            "sector": [now[c] for c in peers],
            "cross_section": list(now.values()),
        }
        for transform in transforms_of(feature):
            operator = getattr(reference_transforms, transform.group)
            expected[feature.name + transform.suffix] = operator(
                transform.suffix, now[code], inputs[transform.group]
            )
    return expected


def none_if_nan(x: float) -> float | None:
    return None if np.isnan(x) else float(x)


def agrees_in_float32(name: str, seen: float | None, expected: float | None) -> bool:
    if seen is None or expected is None:
        return seen is expected
    if name.endswith(FLAGS):
        return seen == expected
    return abs(seen - expected) <= 1e-6 * max(abs(expected), 1e-3)


def agrees(seen: float, expected: float | None) -> bool:
    if expected is None or np.isnan(seen):
        return expected is None and bool(np.isnan(seen))
    return abs(seen - expected) <= TOLERANCE * max(abs(expected), 1e-3)
