"""The two ways to the same day: one update every morning, and everything at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.tasks.commands import FEW_SOURCES, PROJECT, Home, simulator

#: The few sources, and the margin balances: they are weekly, and are corrected too.
SOURCES = {
    "UNAVAILABLE_SOURCES": ",".join(
        source
        for source in FEW_SOURCES["UNAVAILABLE_SOURCES"].split(",")
        if source != "margin_interest"
    )
}
_PATIENCE_S = 900.0
_AHEAD = dt.timedelta(days=40)  # the market goes on after the last morning


@dataclass(frozen=True)
class Exchange:
    """A simulated market and how careless it is.

    Attributes:
        first_day: of the market.
        corrections: share of its records that it corrects later.
        sources: settings that say what is fetched; none for every source.
    """

    stocks: int
    first_day: dt.date
    seed: int
    corrections: float
    sources: dict[str, str | None] = field(default_factory=lambda: dict(SOURCES))

    def options(self, now: str, last: dt.date) -> tuple[str, ...]:
        """Options of the server at a moment."""
        return (
            *("--stocks", str(self.stocks), "--seed", str(self.seed), "--now", now),
            *("--start", str(self.first_day), "--end", str(last + _AHEAD)),
            *("--corrections", str(self.corrections)),
        )


@dataclass(frozen=True)
class Replayed:
    """The root that was brought up to date every morning.

    Attributes:
        shown: the morning on which each session's rows were published first.
        last: the last morning.
    """

    home: Home
    shown: dict[dt.date, dt.date]
    last: dt.date


def replay(
    exchange: Exchange,
    first: dt.date,
    mornings: int,
    folder: Path,
    tell: Callable[[str], None] = lambda line: None,
) -> Replayed:
    """Run ``g5 daily`` at 08:00 of every calendar day, holidays among them.

    Args:
        first: the first morning; it fills the running quarter up to then.
        tell: called with a line per morning.

    Raises:
        AssertionError: a morning's run failed.
    """
    last = first + dt.timedelta(days=mornings - 1)
    root = folder / "mornings/output"
    shown: dict[dt.date, dt.date] = {}
    (folder / "mornings").mkdir(parents=True)
    for number in range(mornings):
        morning = first + dt.timedelta(days=number)
        with simulator(*exchange.options(_eight(morning), last)) as url:
            home = _home(root, url, morning, exchange)
            ended = home.g5("daily", "--workers", "1", patience_s=_PATIENCE_S)
        assert ended.code == 0, (morning, ended.out, ended.told[-5:])
        dataset = home.dataset()
        assert dataset is not None
        for chunk in dataset.metadata["chunks"]:
            start, end = (dt.date.fromisoformat(chunk[f"output_{at}"]) for at in ("start", "end"))
            for day in range((end - start).days + 1):
                shown.setdefault(start + dt.timedelta(days=day), morning)
        tell(f"{number + 1} {morning}: {ended.out.strip().splitlines()[-1]}")
    return Replayed(home, shown, last)


def bulk(exchange: Exchange, replayed: Replayed, folder: Path) -> Home:
    """The same days in one build, from an empty root, as the last morning sees them.

    Raises:
        AssertionError: the run failed.
    """
    covered = replayed.home.statuses().values()
    first = min(status["covered_from"] for status in covered)
    last = max(status["covered_to"] for status in covered)
    options = exchange.options(_eight(replayed.last), replayed.last)
    with simulator(*options) as url:
        home = _home(folder / "bulk/output", url, replayed.last, exchange)
        home.folder.mkdir(parents=True, exist_ok=True)
        days = ("--start", first, "--end", last, "--workers", "1")
        ended = home.run("BuildAll", *days, patience_s=_PATIENCE_S)
    assert ended.code == 0, ended.told[-5:]
    return home


def _home(root: Path, url: str, morning: dt.date, exchange: Exchange) -> Home:
    return Home(root, url, PROJECT, exchange.sources | {"G5_NOW": _eight(morning)})


def _eight(morning: dt.date) -> str:
    return f"{morning}T08:00"
