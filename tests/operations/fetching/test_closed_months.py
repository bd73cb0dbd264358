"""Closed months are asked about again: what the vendor restates is found, on a budget."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.api.bulk import BulkFile
from pipeline.api.catalogue.endpoints import ENDPOINTS, endpoint_of
from pipeline.api.day_requests import fetch_dates
from pipeline.api.http.client import ApiSession
from pipeline.cache.parts import newest_days, select
from pipeline.cache.recheck_ledger import CheckBook, Checks
from pipeline.cache.recheck_policy import Listed
from pipeline.cache.snapshots import SnapshotStore
from pipeline.configuration import JST, Settings
from pipeline.errors import ApiError
from pipeline.operations.fetching import closed_months, source_fetch
from pipeline.operations.fetching.closed_months import outlook, recheck_closed
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from pipeline.simulator.exchange.code_tables import INDUSTRIES, OTHER_INDUSTRY
from pipeline.simulator.server import late_corrections
from pipeline.simulator.server.app import DEFAULT_API_KEY
from pipeline.simulator.server.dialect import EVIDENCE, Dialect
from tests.tasks.vendor import settings_at

RATE, SEED = 0.1, 7
#: Whether what the simulator said at first differs from the truth.
_SHOWS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "daily_bars": lambda row: row["C"] != row["O"],
    "listed": lambda row: row["S33"] != INDUSTRIES[OTHER_INDUSTRY][0],
    "margin_interest": lambda row: row["ShrtNegVol"] != 0,
}
CORRECTED = tuple(_SHOWS)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(
        MarketSpec(seed=SEED, stocks=6, start=dt.date(2023, 12, 4), end=dt.date(2024, 8, 30))
    )


@dataclass
class Desk:
    """A cache beside a simulator whose clock is set from outside.

    Attributes:
        sent: requests of closed months, by morning.
    """

    market: Market
    root: Path
    patch: pytest.MonkeyPatch
    plan: Any
    budget: int | None
    sources: tuple[str, ...]
    rate: float = RATE
    dialect: Dialect = EVIDENCE
    sent: dict[dt.date, int] = field(default_factory=lambda: defaultdict(int))

    def settings(self) -> Settings:
        others = {e.source for e in ENDPOINTS} - {*self.sources, "trading_calendar"}
        return settings_at(
            self.root,
            plan=self.plan,
            source_route="auto",
            recheck_requests_per_day=self.budget,
            unavailable_sources=frozenset(others),
        )

    @property
    def store(self) -> SnapshotStore:
        return SnapshotStore(self.root, "simulator")

    @property
    def ledger(self) -> Checks:
        return CheckBook(self.root, "simulator").read()

    def at(self, morning: dt.date, do: Callable[[], Any]) -> Any:
        """Do something at 08:00 of a day, by the simulator's clock and ours."""
        now = dt.datetime.combine(morning, dt.time(8), JST)
        self.patch.setenv("G5_NOW", now.isoformat())
        options = AppOptions(
            plan=self.plan, now=now, corrections=self.rate, limits=None, dialect=self.dialect
        )
        with serving(self.market, options) as url:
            self.patch.setenv("JQUANTS_API_BASE", url)
            return do()

    def fill(self, morning: dt.date, first: dt.date, last: dt.date) -> None:
        def fetch() -> None:
            settings = self.settings()
            source_fetch.keep_calendar(settings, source_fetch.fetch_calendar(settings, last))
            for source in self.sources:
                wanted = SnapshotRange(first, last)
                source_fetch.fetch_snapshot(
                    settings, source, wanted, "any", lambda _done, _total: None
                )

        self.at(morning, fetch)

    def recheck(self, morning: dt.date) -> None:
        real = source_fetch.open_session
        sessions: list[ApiSession] = []

        def counted(*args: Any, **named: Any) -> ApiSession:
            sessions.append(real(*args, **named))
            return sessions[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source_fetch, "open_session", counted)
            try:
                self.at(morning, lambda: recheck_closed(self.settings()))
            finally:
                self.sent[morning] += sum(session.requests_sent for session in sessions)

    def held(self, source: str) -> pa.Table:
        """The newest version of every day."""
        parts = self.store.parts(source)
        selections, _ = select(parts, sorted(newest_days(parts)))
        endpoint = endpoint_of(source)
        tables = [
            self.store.read_days(source, s.part, [d.date for d in s.days], endpoint.date_field)
            for s in selections
        ]
        table = pa.concat_tables(tables)
        return table.sort_by([(name, "ascending") for name in (endpoint.date_field, *endpoint.key)])

    def restated(self, source: str, after: dt.date, until: dt.date) -> dict[str, list[dt.datetime]]:
        """When records of each day that the cache holds were corrected in (after, until)."""
        table = self.held(source)
        columns = {name: table[name].to_pylist() for name in ("Date", "Code")}
        columns["Date"] = [str(day) for day in columns["Date"]]
        path = endpoint_of(source).path
        moments = late_corrections.Corrections(RATE, SEED).moments(path, columns)
        found = defaultdict(list)
        for row, moment in zip(table.to_pylist(), moments.tolist(), strict=True):
            if after <= moment.date() < until and _SHOWS[source](row):
                found[str(row["Date"])].append(moment)
        return found


@pytest.fixture
def desk(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Desk]]:
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)

    def make(plan: str, budget: int | None, sources: tuple[str, ...] = CORRECTED) -> Desk:
        return Desk(market, tmp_path, monkeypatch, plan, budget, sources)

    return make


def days(first: dt.date, number: int) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range(number)]


def assert_found_in_time(desk: Desk, first: dt.date, last: dt.date, promised: int) -> int:
    """Each day restated while mornings went on has a later version soon enough; how many did."""
    arrivals = defaultdict(list)
    for found in desk.ledger.found.values():
        arrivals[found.source, found.date].append(dt.datetime.fromisoformat(found.arrived))
    seen = 0
    for source in desk.sources:
        if source not in CORRECTED:
            continue
        for day, moments in desk.restated(source, first, last).items():
            for moment in moments:
                told = moment.replace(tzinfo=JST)
                latest = told + dt.timedelta(days=promised + 1)
                assert any(told < at <= latest for at in arrivals[source, day]), (source, day, told)
                seen += 1
    return seen


@pytest.mark.slow
def test_premium_finds_corrections_of_closed_months_within_the_promise(
    desk: Callable[..., Desk],
) -> None:
    """By lists and monthly files: what they show within a day, the rest within the promise. In the
    end the cache holds what the server says."""
    here = desk("premium", 6)
    start = dt.date(2024, 3, 8)
    here.fill(start, dt.date(2024, 1, 4), dt.date(2024, 2, 29))
    promised = here.at(start, lambda: outlook(here.settings())).promise
    assert (promised.questions, promised.by_list, promised.in_full) == (6, 1, 3)
    mornings = days(start + dt.timedelta(days=1), 14)
    for morning in mornings:
        here.recheck(morning)
        assert 3 <= here.sent[morning] <= 6
    last = mornings[-1] - dt.timedelta(days=promised.in_full + 1)
    assert assert_found_in_time(here, start, last, promised.in_full) >= 3
    for source in CORRECTED:
        there = here.at(mornings[-1], lambda source=source: _asked(here, source))
        behind = here.held(source).num_rows - _common(here.held(source), there)
        late = here.restated(source, last, mornings[-1] + dt.timedelta(days=1))
        assert behind <= sum(map(len, late.values())), source


def _common(one: pa.Table, other: pa.Table) -> int:
    rows = {repr(row) for row in one.to_pylist()}
    return len(rows & {repr(row) for row in other.to_pylist()})


def _asked(desk: Desk, source: str) -> pa.Table:
    """Every day of the cache as the server tells it now."""
    endpoint = endpoint_of(source)
    wanted = [dt.date.fromisoformat(d) for d in sorted(newest_days(desk.store.parts(source)))]
    with source_fetch.open_session(desk.settings()) as session:
        tables = [table for _, table in fetch_dates(session, endpoint, wanted, 1)]
    table = pa.concat_tables(tables)
    return table.sort_by([(name, "ascending") for name in (endpoint.date_field, *endpoint.key)])


@pytest.mark.slow
def test_free_finds_them_by_request(desk: Callable[..., Desk]) -> None:
    """The plan shows what is twelve weeks old: records that are corrected after 100 days."""
    here = desk("free", 10, ("daily_bars", "listed", "fin_summary"))
    here.patch.setattr(late_corrections, "DAYS", (100,))
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 26), dt.date(2024, 3, 8))
    promised = here.at(start, lambda: outlook(here.settings())).promise
    assert promised.by_list is None
    assert promised.in_full == 4  # 10 sessions of two sources and 12 days of the third, 10 a day
    mornings = days(start + dt.timedelta(days=1), 14)
    for morning in mornings:
        here.recheck(morning)
        assert here.sent[morning] <= 10
    last = mornings[-1] - dt.timedelta(days=promised.in_full + 1)
    assert assert_found_in_time(here, start, last, promised.in_full) >= 2
    named = next(f for f in here.ledger.found.values() if f.source == "daily_bars")
    assert (named.changed, named.added, named.removed, named.rows) == (
        named.fields["C"],
        0,
        0,
        named.rows_before,
    )
    assert set(named.fields) <= {"C", "AdjC"}
    assert str(named).startswith(f"daily_bars {named.date}: {named.changed} rows changed in ")
    assert named.example.split()[0] in str(named)


def test_nothing_is_asked_twice_on_a_day_and_nothing_on_the_day_of_the_fetch(
    desk: Callable[..., Desk],
) -> None:
    here = desk("free", 10, ("daily_bars",))
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 26), dt.date(2024, 3, 1))
    here.recheck(start)
    assert here.sent[start] == 0
    following = start + dt.timedelta(days=1)
    here.recheck(following)
    assert here.sent[following] == 5  # sessions
    here.recheck(following)
    assert here.sent[following] == 5


def test_a_killed_recheck_goes_on_where_it_was(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed within its fourth question: three days are noted, the fourth was paid; the next run
    of the day asks the others and stays within the budget."""
    here = desk("free", 8, ("daily_bars",))
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 19), dt.date(2024, 3, 8))
    asked: list[str] = []
    real = closed_months.by_request

    def dying(fetching_: Any, *args: Any) -> None:
        asked.extend(fetching_.missing)
        if len(asked) == 4:
            raise KeyboardInterrupt
        real(fetching_, *args)

    monkeypatch.setattr(closed_months, "by_request", dying)
    morning = start + dt.timedelta(days=1)
    with pytest.raises(KeyboardInterrupt):
        here.recheck(morning)
    checked = {
        d: day.checked for d, (_, day) in newest_days(here.store.parts("daily_bars")).items()
    }
    assert sorted(d for d, at in checked.items() if at > f"{morning}") == asked[:3]
    here.recheck(morning)
    assert len(asked) == 8
    assert asked[4] == asked[3]
    assert len(set(asked)) == 7
    assert here.ledger.spent == 8
    here.recheck(morning + dt.timedelta(days=1))
    assert len(set(asked)) == len(checked)  # the cycle went on, not from the beginning


def test_a_day_that_cannot_be_read_does_not_keep_others_waiting(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = desk("free", 2, ("daily_bars",))
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 26), dt.date(2024, 3, 1))
    asked: list[str] = []
    real = closed_months.by_request

    def refusing(fetching_: Any, *args: Any) -> None:
        asked.extend(fetching_.missing)
        if "2024-02-26" in fetching_.missing:
            raise source_fetch.SnapshotError(
                "daily_bars: 1 day looks incomplete", "run again later"
            )
        real(fetching_, *args)

    monkeypatch.setattr(closed_months, "by_request", refusing)
    for morning in days(start + dt.timedelta(days=1), 3):
        here.recheck(morning)
    assert asked == [
        *("2024-02-26", "2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"),
        "2024-02-26",
    ]
    assert "closed day 2024-02-26 is not rechecked: daily_bars: 1 day looks incomplete" in (
        caplog.text
    )


def test_a_file_that_differs_is_no_correction(desk: Callable[..., Desk]) -> None:
    """Files grouped by another date lack rows of their month: nothing is lost, and the days are
    confirmed by request."""
    here = desk("premium", 400, ("short_sale", "margin_alert"))
    here.rate, here.dialect = 0.0, Dialect(grouping="other")
    start = dt.date(2024, 3, 8)
    here.fill(start, dt.date(2023, 12, 11), dt.date(2024, 2, 29))
    before = {source: here.held(source) for source in here.sources}
    morning = start + dt.timedelta(days=1)
    for _ in range(2):  # files, then the days they left open
        here.recheck(morning)
        morning += dt.timedelta(days=1)
    assert here.ledger.found == {}
    for source in here.sources:
        assert here.held(source).equals(before[source])
        days_held = newest_days(here.store.parts(source)).values()
        assert all(day.checked > f"{start + dt.timedelta(days=1)}" for _, day in days_held)


def test_a_refused_closed_day_is_confirmed(
    desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    here = desk("free", 20, ("fin_summary",))
    here.rate, here.dialect = 0.0, Dialect(closed="refused")
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 19), dt.date(2024, 2, 29))
    here.recheck(start + dt.timedelta(days=1))
    assert "is not rechecked" not in caplog.text
    assert here.ledger.sources["fin_summary"].failed == {}


@pytest.mark.parametrize(("status", "asked"), [(None, 1), (401, 1), (403, 1), (500, 5)])
def test_what_is_hopeless_is_not_asked_again(
    desk: Callable[..., Desk],
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    asked: int,
) -> None:
    """No answer or a refused key ends the questions of the run, a refused source its own."""
    here = desk("free", 8, ("daily_bars",))
    start = dt.date(2024, 6, 3)
    here.fill(start, dt.date(2024, 2, 26), dt.date(2024, 3, 1))
    calls: list[str] = []

    def refusing(fetching_: Any, *_: Any) -> None:
        calls.extend(fetching_.missing)
        raise ApiError("/equities/bars/daily", {}, status=status, server_message="no", hint="")

    monkeypatch.setattr(closed_months, "by_request", refusing)
    here.recheck(start + dt.timedelta(days=1))
    assert len(calls) == asked


@pytest.mark.parametrize(
    "changes",
    [
        {"recheck_requests_per_day": 0},
        {"source_cache_mode": "read"},
        {"source_cache_asof": dt.date(2024, 6, 1)},
        {"source_route": "files"},
    ],
)
def test_who_does_not_recheck(
    desk: Callable[..., Desk], changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("G5_NOW", "2024-06-03T08:00:00+09:00")
    here = desk("free", 5, ("daily_bars",))
    assert not closed_months.rechecks(settings_at(here.root, **changes))
    assert closed_months.rechecks(here.settings())


def test_each_plan_has_a_budget(tmp_path: Path) -> None:
    budgets = {plan: closed_months.budget_of(settings_at(tmp_path, plan=plan))
               for plan in ("free", "light", "standard", "premium")}  # fmt: skip
    assert budgets == {"free": 20, "light": 30, "standard": 40, "premium": 60}
    assert closed_months.budget_of(settings_at(tmp_path, recheck_requests_per_day=3)) == 3


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-01T20:48:51Z", "2024-02-02T05:48:51+09:00"),
        ("Thu, 01 Feb 2024 20:48:51 GMT", "2024-02-02T05:48:51+09:00"),
        ("", None),
        ("yesterday", None),
    ],
)
def test_the_ledger_reads_times_as_the_list_does(text: str, moment: str | None) -> None:
    """A change shows in every form of the time, not in ISO alone."""
    file = BulkFile("x", "2024-01", 7, text)
    assert closed_months._listed(file) == Listed(7, moment)
