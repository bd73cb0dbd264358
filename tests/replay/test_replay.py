"""A few mornings over the end of a quarter; ``python -m tests.replay`` runs a hundred and more."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from tests.replay.corrected import Correction
from tests.replay.explain import explained
from tests.replay.mornings import SOURCES, Exchange, replay
from tests.replay.verdict import judge


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mornings_come_to_what_one_build_comes_to(tmp_path: Path) -> None:
    """Saturday to Wednesday; what differs is what the exchange corrected too late, and no more."""
    # Statements are asked for by day, over years.
    sources = {name: f"{value},fin_summary" for name, value in SOURCES.items()}
    exchange = Exchange(6, dt.date(2024, 1, 4), seed=7, corrections=0.2, sources=sources)
    replayed = replay(exchange, dt.date(2024, 3, 30), 5, tmp_path)
    verdict = judge(exchange, replayed, tmp_path)
    assert verdict.good, "\n".join(verdict.lines())
    assert verdict.chunks == ["2024Q1", "2024Q2"]
    assert verdict.corrections
    assert verdict.dataset.differing  # March is not asked for again
    # Without the corrections nothing explains them, nor do those of another stock or day.
    cells = verdict.dataset.differing
    assert not any(explained(cells, [], replayed, replayed.home).values())
    others = [_elsewhere(correction) for correction in verdict.corrections]
    assert not all(explained(cells, others, replayed, replayed.home).values())


def _elsewhere(correction: Correction) -> Correction:
    """The same of another stock, and too early to matter."""
    return replace(correction, code="00000", date=correction.date - dt.timedelta(days=1500))
