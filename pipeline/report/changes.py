"""What is new since the last report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.report.chunk_profile import null_rates
from pipeline.report.report_facts import Earlier, Facts

LEAST_MOVE = 0.005  # of a null rate, below which it is no news
_MOVES_SHOWN = 10


@dataclass(frozen=True)
class Move:
    """A null rate that is another one."""

    month: str
    family: str
    before: float
    now: float


@dataclass(frozen=True)
class Changes:
    """The difference of two reports.

    Attributes:
        since: when the earlier one was made.
        rows: more (or fewer) rows.
        sessions: that are new, ascending.
        added, rebuilt, gone: chunks.
        schema: the columns are others.
        moves: of null rates by family and month, the largest first; ``moves_in_all`` counts all.
        corrections: days more that were given again with another content.
    """

    since: str
    rows: int
    sessions: tuple[str, ...]
    added: tuple[str, ...]
    rebuilt: tuple[str, ...]
    gone: tuple[str, ...]
    schema: bool
    moves: tuple[Move, ...]
    moves_in_all: int
    corrections: int

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        told = (self.rows, self.sessions, self.added, self.rebuilt, self.gone, self.schema)
        return any(told) or bool(self.moves or self.corrections)


def changes_since(earlier: Earlier, now: Facts) -> Changes:
    """The difference."""
    builds = {one.chunk_id: one.build_id for one in now.chunks if one.included}
    known = {day for profile in earlier.profiles for day in profile.sessions}
    # Without the profiles of before it is not known which sessions are new: none is claimed.
    sessions = sorted(
        {day for profile in now.profiles for day in profile.sessions} - known if known else ()
    )
    moves = _moves(null_rates(earlier.profiles), null_rates(now.profiles))
    return Changes(
        since=earlier.generated_at,
        rows=now.dataset.rows - earlier.rows,
        sessions=tuple(sessions),
        added=tuple(chunk for chunk in builds if chunk not in earlier.chunks),
        rebuilt=tuple(
            chunk
            for chunk, build in builds.items()
            if chunk in earlier.chunks and earlier.chunks[chunk].build_id != build
        ),
        gone=tuple(chunk for chunk in earlier.chunks if chunk not in builds),
        schema=now.schema_hash != earlier.schema_hash,
        moves=tuple(moves[:_MOVES_SHOWN]),
        moves_in_all=len(moves),
        corrections=max(now.corrected - earlier.corrections, 0),
    )


def _moves(
    before: Mapping[str, Mapping[str, float]], now: Mapping[str, Mapping[str, float]]
) -> Sequence[Move]:
    moves = [
        Move(month, family, before[month][family], share)
        for month, families in now.items()
        if month in before
        for family, share in families.items()
        if family in before[month] and abs(share - before[month][family]) >= LEAST_MOVE
    ]
    return sorted(moves, key=lambda move: (-abs(move.now - move.before), move.month, move.family))
