"""Which closed months are asked about once more, and within how many updates each day is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cache.recheck_policy import (
    Closed,
    Listed,
    Question,
    choose,
    differs,
    promise,
    questions,
    worth_listing,
)

OLD, NEWER, TODAY = "2024-05-01", "2024-05-20", "2024-06-03"


def moment(day: str) -> str:
    return f"{day}T08:00:00+09:00"


def bars(**changes: object) -> Closed:
    """Two days of January, one of February."""
    days = {"2024-01-04": moment(OLD), "2024-01-05": moment(NEWER), "2024-02-01": moment(NEWER)}
    return replace(Closed("daily_bars", by_range=False, checked=days), **changes)  # type: ignore[arg-type]


def periods(found: list[Question]) -> list[str]:
    return [question.period for question in found]


def test_without_files_each_day_is_a_question_and_the_oldest_check_comes_first() -> None:
    found = questions([bars()])
    assert periods(found) == ["2024-01-04", "2024-01-05", "2024-02-01"]
    assert {question.way for question in found} == {"day"}
    assert periods(choose(found, 2, TODAY)) == ["2024-01-04", "2024-01-05"]
    assert choose(found, 0, TODAY) == choose(found, -3, TODAY) == []
    assert periods(choose(found, 9, NEWER)) == ["2024-01-04"]  # the others were checked that day


def test_a_month_on_offer_is_one_question_and_the_others_come_by_day() -> None:
    found = questions([bars(listed={"2024-01": Listed(9, None)})])
    assert [(q.way, q.period) for q in found] == [("file", "2024-01"), ("day", "2024-02-01")]
    assert found[0].days == ("2024-01-04", "2024-01-05")
    assert found[0].checked == moment(OLD)


def test_days_that_a_file_left_unconfirmed_come_by_request() -> None:
    """The file of January was read after the first day was confirmed, and did not confirm it."""
    tried = {"2024-01": moment("2024-05-10")}
    found = questions([bars(listed={"2024-01": Listed(9, None)}, failed=tried)])
    ways = {(q.way, q.period): q.days for q in found}
    assert ways[("day", "2024-01-04")] == ("2024-01-04",)
    assert ways[("file", "2024-01")] == ("2024-01-05",)


def test_a_range_is_asked_by_year() -> None:
    days = dict.fromkeys(("2023-12-29", "2024-01-04", "2024-01-05"), moment(OLD))
    found = questions([Closed("topix", by_range=True, checked=days)])
    assert [(q.way, q.period, len(q.days)) for q in found] == [
        ("range", "2023", 1),
        ("range", "2024", 2),
    ]


def test_what_failed_goes_to_the_end_of_the_queue() -> None:
    found = questions([bars(failed={"2024-01-04": moment("2024-06-01")})])
    assert periods(found) == ["2024-01-05", "2024-02-01", "2024-01-04"]


@pytest.mark.parametrize(
    ("listed", "before", "changed"),
    [
        (Listed(9, moment(OLD)), Listed(9, moment(OLD)), False),
        (Listed(8, moment(OLD)), Listed(9, moment(OLD)), True),
        (Listed(9, moment("2024-04-01")), Listed(9, moment(OLD)), True),
        (Listed(9, moment("2024-06-01")), None, True),  # younger than our check
        (Listed(9, moment("2024-04-01")), None, False),
        (Listed(9, None), None, False),  # nothing can be said
        (Listed(9, None), Listed(8, None), True),
    ],
)
def test_when_a_list_says_that_a_file_changed(
    listed: Listed, before: Listed | None, changed: bool
) -> None:
    assert differs(listed, before, moment(OLD)) is changed


def test_changed_files_get_half_of_the_budget_and_no_more() -> None:
    """Files that are rewritten every day cannot keep the others waiting."""
    checked = {f"2024-0{month}-05": moment(f"2024-05-0{month}") for month in range(1, 6)}
    now = {f"2024-0{month}": Listed(2 if month > 2 else 1, None) for month in range(1, 6)}
    before = {month: Listed(1, None) for month in now}
    found = questions([Closed("listed", False, checked, listed=now, before=before)])
    chosen = choose(found, 4, TODAY)
    assert [(q.period, q.changed) for q in chosen] == [
        ("2024-03", True),
        ("2024-04", True),
        ("2024-01", False),
        ("2024-02", False),
    ]


def test_lists_must_leave_half_of_the_budget() -> None:
    assert worth_listing(["a", "b"], 4)
    assert not worth_listing(["a", "b"], 3)


def test_the_promise_counts_pages_and_lists() -> None:
    assert promise(100, 0, 20).in_full == 5
    assert promise(100, 0, 20, requests_each=2.0).in_full == 10
    with_lists = promise(100, 10, 30)
    assert (with_lists.by_list, with_lists.in_full) == (1, 10)
    assert promise(100, 0, 0).in_full is None


@settings(max_examples=60, deadline=None)
@given(
    days=st.integers(1, 60),
    sources=st.integers(1, 3),
    budget=st.integers(2, 12),
    files=st.booleans(),
    data=st.data(),
)
def test_every_closed_day_is_asked_about_within_the_promise(
    days: int, sources: int, budget: int, files: bool, data: st.DataObject
) -> None:
    """Whatever the lists say on each day, and although months close meanwhile: no day waits longer
    than promised, and no more is asked than the budget allows."""
    start = dt.date(2024, 5, 1)
    first = dt.date(2023, 1, 1)
    names = [f"s{n}" for n in range(sources)]
    files = files and worth_listing(names, budget)
    left = budget - (sources if files else 0)
    checked = {
        name: {
            str(first + dt.timedelta(days=7 * n)): moment(
                str(start - dt.timedelta(days=data.draw(st.integers(1, 90))))
            )
            for n in range(days)
        }
        for name in names
    }
    months = sorted({day[:7] for known in checked.values() for day in known})
    last_asked: dict[tuple[str, str], int] = {(n, d): 0 for n in names for d in checked[n]}
    number = len(
        questions(
            Closed(n, False, checked[n], listed=dict.fromkeys(months, Listed(1, None)) if files
                   else None) for n in names
        )
    )  # fmt: skip
    longest = promise(number, sources if files else 0, budget).in_full
    assert longest is not None
    for update in range(1, 2 * longest + 3):
        today = str(start + dt.timedelta(days=update))
        size = data.draw(st.integers(1, 2))  # a vendor who rewrites everything, on some days
        listed = {month: Listed(size, None) for month in months} if files else None
        closed = [
            Closed(
                n, False, checked[n], listed=listed, before=dict.fromkeys(months, Listed(1, None))
            )
            for n in names
        ]
        asked = choose(questions(closed), left, today)
        assert len(asked) <= left
        assert len({(q.source, q.period) for q in asked}) == len(asked)
        assert asked == choose(questions(reversed(closed)), left, today)
        for question in asked:
            for day in question.days:
                checked[question.source][day] = moment(today)
                last_asked[question.source, day] = update
        assert all(update - then <= longest for then in last_asked.values())
