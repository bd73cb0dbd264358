"""Subscription plans: what they may read and how often they may ask.

Source: J-Quants API specification, plan and rate limit pages, as of September 2026. The operator
may change the limits without notice, so a run can override them.
"""

from __future__ import annotations

from typing import Literal, get_args

Plan = Literal["free", "light", "standard", "premium"]

PLANS: tuple[Plan, ...] = get_args(Plan)  # from the smallest to the largest

#: Budget every request draws from, whatever its endpoint.
PLAN_BUDGET = "plan"
#: Budget of its own that earnings summaries draw from as well, the same on each plan.
SUMMARY_BUDGET = "fins/summary"

_REQUESTS_PER_MINUTE: dict[Plan, int] = {"free": 5, "light": 60, "standard": 120, "premium": 500}
_SUMMARY_PER_MINUTE = 60


def covers(plan: Plan, minimum: Plan) -> bool:
    """True when ``plan`` may read what needs at least the plan ``minimum``."""
    return PLANS.index(plan) >= PLANS.index(minimum)


def budgets(plan: Plan) -> dict[str, int]:
    """Requests per minute of every budget under ``plan``; each page counts as one request."""
    return {PLAN_BUDGET: _REQUESTS_PER_MINUTE[plan], SUMMARY_BUDGET: _SUMMARY_PER_MINUTE}
