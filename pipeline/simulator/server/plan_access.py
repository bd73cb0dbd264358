"""Subscription plans: what they open and which dates they cover."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from pipeline.errors import UsageError
from pipeline.simulator.server.refusal import RefusalError


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        name: free, light, standard or premium.
        rank: higher plans contain the lower ones.
        years: depth of the window of dates.
        delay_days: the newest dates are hidden for this long.
    """

    name: str
    rank: int
    years: int
    delay_days: int = 0

    def window(self, today: date) -> Window:
        """Dates covered on ``today``."""
        last = today - timedelta(days=self.delay_days)
        return Window(_years_before(last, self.years), last if self.delay_days else None)


@dataclass(frozen=True)
class Window:
    """Dates of a subscription, both included; ``last`` is None when the end is open."""

    first: date
    last: date | None

    def clip(self, first: date, last: date) -> tuple[date, date]:
        """The part of a range inside the window; first > last when there is none."""
        return max(first, self.first), last if self.last is None else min(last, self.last)

    def require(self, first: date, last: date, *, named: bool = True) -> None:
        """Refuse a range that lies outside altogether; ``named``: the text says what is inside.

        What the real server does with a range that is partly outside is unknown; here the
        inside part is answered.
        """
        inside_first, inside_last = self.clip(first, last)
        if inside_first > inside_last:
            if not named:
                raise RefusalError(400, "The dates asked for are not part of your subscription.")
            end = "" if self.last is None else str(self.last)
            raise RefusalError(
                400,
                f"Your subscription covers the following dates: {self.first} ~ {end}."
                " If you want more data, please check other plans:"
                "https://jpx-jquants.com/#dataset",
            )


PLANS: Final = {
    plan.name: plan
    for plan in (
        Plan("free", 0, years=2, delay_days=84),
        Plan("light", 1, years=5),
        Plan("standard", 2, years=10),
        Plan("premium", 3, years=20),
    )
}


def plan_named(name: str) -> Plan:
    """The plan of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PLANS:
        raise UsageError(f"simulator plan {name!r}: expected one of {', '.join(PLANS)}")
    return PLANS[name]


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)
