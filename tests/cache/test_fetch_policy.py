"""The cache policy: every wanted day is kept, asked for or lost, for a reason that can be told."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cache.fetch_policy import (
    ANY_AGE,
    FILE_COST,
    LIST_COST,
    Decision,
    Known,
    Rules,
    Wanted,
    choose_route,
    decide,
    worth_listing,
)

NOW = "2024-06-14T08:00:00+09:00"
RULES = Rules(mode="read_write", fresh_after=ANY_AGE, asof=None, now=NOW)
CLOSED, OPEN = "2024-05-20", "2024-06-10"


def at(day: str, clock: str = "20:00:00") -> str:
    return f"{day}T{clock}+09:00"


def wanted(*dates: str) -> list[Wanted]:
    return [Wanted(date, at(date, "16:30:00")) for date in dates]


def known(day: str, checked: str | None = None) -> list[Known]:
    return [Known(at(day), checked or at(day))]


def test_what_is_missing_is_asked_for_and_nothing_else() -> None:
    """The plain case: a closed month and days of the open one that are there are kept."""
    cache = {CLOSED: known(CLOSED), OPEN: known(OPEN)}
    decision = decide(RULES, wanted(CLOSED, "2024-05-21", OPEN, "2024-06-13"), cache)
    assert decision == Decision(keep=(CLOSED, OPEN), ask=("2024-05-21", "2024-06-13"), lost=())


def test_the_ttl_is_for_days_of_the_open_month() -> None:
    """A closed month is never asked for again, however old; a day found unchanged is fresh."""
    rules = replace(RULES, fresh_after=at("2024-06-11"))
    cache = {
        CLOSED: known(CLOSED),
        OPEN: known(OPEN),
        "2024-06-07": known("2024-06-07", checked=at("2024-06-12")),
    }
    decision = decide(rules, wanted(CLOSED, "2024-06-07", OPEN), cache)
    assert decision.keep == (CLOSED, "2024-06-07")
    assert decision.ask == (OPEN,)


def test_mode_off_trusts_only_what_this_run_fetched() -> None:
    """Closed months too are fetched anew, but a run that goes on does not begin again."""
    rules = replace(RULES, mode="off", fresh_after=NOW)
    cache = {CLOSED: known(CLOSED), OPEN: [Known(at(OPEN), NOW)]}
    decision = decide(rules, wanted(CLOSED, OPEN), cache)
    assert (decision.ask, decision.keep) == ((CLOSED,), (OPEN,))


def test_mode_read_never_asks() -> None:
    """What is not there is lost, what is there is used however stale."""
    rules = replace(RULES, mode="read", fresh_after=NOW)
    decision = decide(rules, wanted(CLOSED, OPEN), {OPEN: known(OPEN)})
    assert (decision.keep, decision.ask, decision.lost) == ((OPEN,), (), (CLOSED,))


def test_an_as_of_day_in_the_past_takes_what_had_arrived_and_asks_for_nothing() -> None:
    """What came now would not count for it; the day itself counts to its end."""
    rules = replace(RULES, asof="2024-06-10", fresh_after=NOW)
    cache = {
        CLOSED: [Known(at("2024-06-10", "23:59:59"), NOW)],
        OPEN: [Known(at("2024-06-11", "00:00:00"), NOW)],
    }
    decision = decide(rules, wanted(CLOSED, OPEN), cache)
    assert (decision.keep, decision.ask, decision.lost) == ((CLOSED,), (), (OPEN,))


def test_an_as_of_day_of_today_asks_like_any_run() -> None:
    """A run can be pinned to the day it runs on."""
    rules = replace(RULES, asof="2024-06-14")
    assert decide(rules, wanted(OPEN), {}).ask == (OPEN,)


def test_an_answer_from_before_the_publication_is_not_final() -> None:
    """Also in a closed month: the day is asked for once more after its records are out."""
    day = [Wanted("2024-05-31", at("2024-06-04", "16:30:00"))]
    early, late = known("2024-06-01"), known("2024-06-04")
    assert decide(RULES, day, {"2024-05-31": early}).ask == ("2024-05-31",)
    assert decide(RULES, day, {"2024-05-31": late}).keep == ("2024-05-31",)
    before = replace(RULES, now=at("2024-06-03"))
    assert decide(before, day, {"2024-05-31": early}).keep == ("2024-05-31",)


moments = st.datetimes(dt.datetime(2024, 4, 1), dt.datetime(2024, 6, 14, 8)).map(
    lambda moment: moment.replace(microsecond=0).isoformat() + "+09:00"
)
days = st.dates(dt.date(2024, 4, 1), dt.date(2024, 6, 13)).map(str)
versions = st.lists(
    st.tuples(moments, moments).map(lambda pair: Known(min(pair), max(pair))), max_size=3
)
rules_ = st.builds(
    Rules,
    mode=st.sampled_from(["read_write", "read", "off"]),
    fresh_after=st.one_of(st.just(ANY_AGE), moments),
    asof=st.one_of(st.none(), days, st.just("2024-06-14")),
    now=st.just(NOW),
)


@given(rules_, st.dictionaries(days, versions))
def test_each_day_has_one_fate_and_the_right_one(
    rules: Rules, cache: dict[str, list[Known]]
) -> None:
    """keep, ask and lost share out the wanted days; each list keeps its promise."""
    asked_for = wanted(*sorted(cache))
    decision = decide(rules, asked_for, cache)
    assert sorted([*decision.keep, *decision.ask, *decision.lost]) == sorted(cache)
    assert not decision.ask or rules.may_ask
    assert not decision.lost or not rules.may_ask
    for date in decision.keep:
        assert any(rules.counts(version.arrived) for version in cache[date])
    for date in decision.lost:
        assert not any(rules.counts(version.arrived) for version in cache[date])


@given(rules_, st.dictionaries(days, versions))
def test_a_decision_carried_out_leaves_nothing_to_ask(
    rules: Rules, cache: dict[str, list[Known]]
) -> None:
    """Whether a day came back changed or unchanged: the same run never asks for it twice."""
    asked_for = wanted(*sorted(cache))
    ask = decide(rules, asked_for, cache).ask
    changed = {date: [*cache[date], Known(NOW, NOW)] for date in ask}
    unchanged = {
        date: [Known(version.arrived, NOW) for version in cache[date]] or [Known(NOW, NOW)]
        for date in ask
    }
    for outcome in (changed, unchanged):
        assert decide(rules, asked_for, cache | outcome).ask == ()


months = ("2024-03", "2024-04", "2024-05", "2024-06")
asked = st.sets(st.dates(dt.date(2024, 3, 1), dt.date(2024, 6, 13)).map(str)).map(sorted)


@given(asked, st.sets(st.sampled_from(months)), st.booleans())
def test_the_route_is_the_cheapest_there_is(
    ask: list[str], listed: set[str], by_range: bool
) -> None:
    """No other set of monthly files would need fewer requests."""
    route = choose_route(RULES, ask, "auto", by_range=by_range, listed=listed)
    assert sorted([*route.days, *(day for day in ask if day[:7] in route.months)]) == ask

    def price(files: tuple[str, ...]) -> int:
        left = [day for day in ask if day[:7] not in files]
        return LIST_COST + FILE_COST * len(files) + (min(len(left), 1) if by_range else len(left))

    offers = [month for month in listed if RULES.closed(month)]
    every = [files for n in range(len(offers) + 1) for files in combinations(offers, n)]
    assert route.requests == price(route.months) == min(price(files) for files in every)


@given(asked, st.booleans())
def test_the_list_is_asked_for_only_when_it_can_pay(ask: list[str], by_range: bool) -> None:
    """Were every closed month on offer, the list and the files would cost less than the days."""
    plain = choose_route(RULES, ask, "auto", by_range=by_range).requests
    best = choose_route(RULES, ask, "auto", by_range=by_range, listed=months).requests
    assert worth_listing(RULES, ask, "auto", by_range=by_range) == (best < plain)


def test_the_open_month_never_comes_as_a_monthly_file() -> None:
    """Its file, should there be one, cannot be whole."""
    ask = [f"2024-06-{day:02d}" for day in range(3, 14)]
    route = choose_route(RULES, ask, "auto", by_range=False, listed=["2024-06"])
    assert (route.months, len(route.days)) == ((), 11)


@pytest.mark.parametrize(("way", "expected"), [("requests", ()), ("bulk", ("2024-05",))])
def test_a_way_can_be_demanded(way: str, expected: tuple[str, ...]) -> None:
    """``bulk`` takes a file for a single day, ``requests`` does not even look at the list."""
    listing = worth_listing(RULES, [CLOSED], way, by_range=False)  # type: ignore[arg-type]
    assert listing == (way == "bulk")
    route = choose_route(
        RULES,
        [CLOSED],
        way,  # type: ignore[arg-type]
        by_range=False,
        listed=["2024-05"] if listing else None,
    )
    assert route.months == expected
