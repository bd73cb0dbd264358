"""Subscription plans: what they may read and how often they may ask.

Source: J-Quants API specification, plan and rate limit pages, as of September 2026. The operator
may change the limits without notice, so a run can override them.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

Plan = Literal["free", "light", "standard", "premium"]

PLANS: tuple[Plan, ...] = get_args(Plan)  # from the smallest to the largest

#: Budget every request draws from, whatever its endpoint.
PLAN_BUDGET = "plan"
#: Budget of its own that earnings summaries draw from as well, the same on each plan.
SUMMARY_BUDGET = "fins/summary"

#: Smallest plan with bulk files.
FILES_PLAN: Plan = "light"

_YEARS: dict[Plan, int] = {"free": 2, "light": 5, "standard": 10, "premium": 20}
_FREE_DELAY = dt.timedelta(weeks=12)

_REQUESTS_PER_MINUTE: dict[Plan, int] = {"free": 5, "light": 60, "standard": 120, "premium": 500}
_SUMMARY_PER_MINUTE = 60


def covers(plan: Plan, minimum: Plan) -> bool:
    """True when ``plan`` may read what needs at least the plan ``minimum``."""
    return PLANS.index(plan) >= PLANS.index(minimum)


def window(plan: Plan, today: dt.date) -> tuple[dt.date, dt.date]:
    """First and last date ``plan`` may read on ``today``, Tokyo time.

    Without a delay the end is open: what is known in advance, such as the calendar, is readable.
    """
    end = today - _FREE_DELAY if plan == "free" else today
    year = end.year - _YEARS[plan]
    leap_day = (end.month, end.day) == (2, 29)
    first = dt.date(year, 2, 28) if leap_day else end.replace(year=year)
    return first, end if plan == "free" else dt.date.max


def budgets(plan: Plan) -> dict[str, int]:
    """Requests per minute of every budget under ``plan``; each page counts as one request."""
    return {PLAN_BUDGET: _REQUESTS_PER_MINUTE[plan], SUMMARY_BUDGET: _SUMMARY_PER_MINUTE}
