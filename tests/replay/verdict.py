"""What a replay came to, in numbers and in words."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.replay.corrected import Correction, corrections_between, promised
from tests.replay.explain import (
    Cell,
    Compared,
    compare,
    dataset_of,
    explained,
    labels_of,
    unexplained_rows,
)
from tests.replay.mornings import Exchange, Replayed, bulk
from tests.tasks.commands import Home

_SHOWN = 10


@dataclass(frozen=True)
class Verdict:
    """The replay held against the bulk build.

    Attributes:
        chunks: those of the replay; the bulk build has the same.
        dataset, labels: compared value by value.
        corrections: records the vendor told several things of, with the cells each may explain.
        not_promised, not_found: records that changed though the simulator did not mean to correct
            them, and the other way round: source, date, code.
        unexplained: cells that no correction explains.
        unexplained_rows: the same of rows that only one of the two has.
    """

    chunks: list[str]
    dataset: Compared
    labels: Compared
    corrections: dict[Correction, int]
    not_promised: list[tuple[str, str, str]]
    not_found: list[tuple[str, str, str]]
    unexplained: list[Cell]
    unexplained_rows: list[tuple[dt.date, str]]

    @property
    def good(self) -> bool:
        """The same, or different for a known reason."""
        unexplained = self.unexplained or self.unexplained_rows
        return not (unexplained or self.not_promised or self.not_found)

    def lines(self) -> Iterator[str]:
        """For people: each correction that shows, then the totals."""
        for correction, cells in self.corrections.items():
            yield f"correction {correction}: may explain {cells:,} cells"
        without = set(self.unexplained)
        for name, table in (("dataset", self.dataset), ("labels", self.labels)):
            unexplained = [cell for cell in table.differing if cell in without]
            yield (
                f"{name}: {len(self.chunks)} chunks, {table.rows:,} rows in both, "
                f"{len(table.only)} in one, {table.cells:,} cells, {len(table.differing):,} "
                f"differing, {len(table.differing) - len(unexplained):,} explained, "
                f"{len(unexplained):,} unexplained"
            )
        for cell in self.unexplained[:_SHOWN]:
            yield f"unexplained: {cell.date} {cell.code} {cell.column}"
        for key in self.unexplained_rows[:_SHOWN]:
            yield f"unexplained: a row in one of them only: {key[0]} {key[1]}"
        for what, records in (
            ("changed, and was not to be corrected", self.not_promised),
            ("was corrected, and the caches do not show it", self.not_found),
        ):
            for record in records[:_SHOWN]:
                yield f"{what}: {' '.join(record)}"
        yield (
            f"{len(self.corrections)} corrections, {len(self.not_promised)} of them not the "
            f"simulator's, {len(self.not_found)} of its not found"
        )


def judge(exchange: Exchange, replayed: Replayed, folder: Path) -> Verdict:
    """Build the same days at once and compare.

    Raises:
        AssertionError: the build failed, or has other chunks or columns.
    """
    built = bulk(exchange, replayed, folder)
    return judged(exchange, replayed, built)


def judged(exchange: Exchange, replayed: Replayed, built: Home) -> Verdict:
    """Compare with a build that is there."""
    chunks = list(replayed.home.statuses())
    assert chunks == list(built.statuses()), "other chunks"
    dataset = compare(dataset_of(replayed.home), dataset_of(built))
    labels = compare(labels_of(replayed.home), labels_of(built))
    corrections = corrections_between(replayed.home, built)
    cells = dataset.differing + labels.differing
    reasons = explained(cells, corrections, replayed, built)
    counts = Counter(correction for found in reasons.values() for correction in found)
    ours = {(c.source, str(c.date), c.code) for c in corrections}
    theirs = promised(exchange, replayed, built)
    return Verdict(
        chunks,
        dataset,
        labels,
        {correction: counts[correction] for correction in corrections},
        sorted(ours - theirs),
        sorted(theirs - ours),
        [cell for cell, found in reasons.items() if not found],
        unexplained_rows(dataset.only + labels.only, corrections, replayed),
    )
