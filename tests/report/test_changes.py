"""What a report says is new."""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline.report.changes import Changes, changes_since
from pipeline.report.report_facts import Earlier, Facts, earlier_of, kept
from tests.report.synthetic import facts


def report_of(made: Facts) -> Earlier:
    """What the next report knows of this one."""
    return earlier_of(json.loads(json.dumps(kept(made))))


def test_the_same_facts_are_no_news() -> None:
    """Nothing is claimed."""
    found = changes_since(report_of(facts(2)), facts(2))
    assert not found.any
    assert found.since == facts(2).generated_at


def test_a_new_chunk_brings_its_sessions() -> None:
    """Each new session, the rows, and nothing about what was there before."""
    before, now = facts(2), facts(3)
    found = changes_since(report_of(before), now)
    new = now.chunks[-1].profile
    assert new is not None
    assert found.sessions == tuple(new.sessions)
    assert (found.added, found.rebuilt, found.gone) == (("2020Q3",), (), ())
    assert found.rows == now.chunks[-1].rows
    assert not found.moves


def test_a_rebuilt_chunk_shows_how_its_null_rates_moved() -> None:
    """The largest move first, small ones not at all."""
    before = facts(1)
    (chunk,) = before.chunks
    assert chunk.profile is not None
    month, one = next(iter(chunk.profile.months.items()))
    (small, large) = list(one.nulls)[1:3]
    nulls = dict(one.nulls) | {small: one.nulls[small] + 0.002, large: one.nulls[large] + 0.3}
    profile = replace(
        chunk.profile, months=dict(chunk.profile.months) | {month: replace(one, nulls=nulls)}
    )
    again = replace(chunk, build_id="f" * 32, profile=profile)
    found = changes_since(report_of(before), replace(before, chunks=(again,)))
    assert found.rebuilt == (chunk.chunk_id,)
    assert [(move.month, move.family) for move in found.moves] == [(month, large)]
    assert found.moves_in_all == 1


def test_a_chunk_that_is_no_longer_in_the_dataset() -> None:
    """It is named; one that lies there besides is not of the report."""
    before = facts(2)
    kept_one, other = before.chunks
    now = replace(before, chunks=(kept_one, replace(other, included=False)), schema_hash="f" * 16)
    found = changes_since(report_of(before), now)
    assert (found.gone, found.added, found.schema) == ((other.chunk_id,), (), True)


def test_corrections_since() -> None:
    """Only the days that came since."""
    found: Changes = changes_since(report_of(facts(1)), facts(1, corrected=7))
    assert found.corrections == 5


def test_without_the_profiles_of_before_no_session_is_called_new() -> None:
    """They were measured otherwise."""
    document = kept(facts(1)) | {"profile_version": 999}
    assert changes_since(earlier_of(document), facts(2)).sessions == ()
