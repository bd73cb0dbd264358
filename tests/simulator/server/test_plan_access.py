"""Windows of the subscription plans."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.errors import UsageError
from pipeline.simulator.server.plan_access import PLANS, plan_named
from pipeline.simulator.server.refusal import RefusalError


@pytest.mark.parametrize(
    ("plan", "first", "last"),
    [
        ("free", date(2024, 4, 14), date(2026, 4, 14)),
        ("light", date(2021, 7, 7), None),
        ("standard", date(2016, 7, 7), None),
        ("premium", date(2006, 7, 7), None),
    ],
)
def test_windows_on_a_day(plan, first, last):
    """Free ends 84 days ago and begins two years before that."""
    window = PLANS[plan].window(date(2026, 7, 7))
    assert (window.first, window.last) == (first, last)


def test_a_window_from_the_29th_of_february_begins_on_the_28th():
    """The day exists only in leap years."""
    assert PLANS["light"].window(date(2024, 2, 29)).first == date(2019, 2, 28)


def test_a_range_outside_is_refused_and_a_partial_one_is_cut():
    """The message names the window as the server does."""
    window = PLANS["light"].window(date(2026, 10, 3))
    with pytest.raises(RefusalError, match=r"covers the following dates: 2021-10-03 ~ \. If"):
        window.require(date(2020, 1, 1), date(2021, 10, 2))
    window.require(date(2020, 1, 1), date(2021, 10, 3))
    assert window.clip(date(2020, 1, 1), date(2022, 1, 1)) == (date(2021, 10, 3), date(2022, 1, 1))


def test_an_unknown_plan_is_a_usage_error():
    """The plans that exist are named."""
    with pytest.raises(UsageError, match="free, light, standard, premium"):
        plan_named("gold")
