"""Weekly investor records as of each column."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.market.panel.axis import NOWHERE
from pipeline.market.positioning.investor_flows import DEPTH, WEEKS, InvestorFlows, investor_flows
from tests.market.hand import NAN, date_of
from tests.market.records import axis, source


def record(published, week, total, section="TokyoNagoya", **fields):
    """A week of five columns, published on a column, told apart by its turnover."""
    return {
        "PubDate": date_of(published),
        "StDate": date_of(5 * week),
        "EnDate": date_of(5 * week + 4),
        "Section": section,
        "TotTot": total,
        **fields,
    }


def replayed(rows, n_columns, n_out) -> InvestorFlows:
    return investor_flows(source("investor_types", *rows), axis(n_columns, n_out))


def weeks_in_force(rows, n_columns, n_out=1):
    """Known turnovers of the last column, oldest first."""
    values = replayed(rows, n_columns, n_out).whole.weekly("TotTot")[-1]
    return values[~np.isnan(values)].tolist()


def test_a_record_counts_from_its_publication():
    """Not from the end of its week; its age begins at 0."""
    flows = replayed([record(8, 0, 1.0)], 12, 6).whole
    np.testing.assert_array_equal(flows.latest("TotTot"), [NAN, NAN, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(flows.age, [NAN, NAN, 0.0, 1.0, 2.0, 3.0])


def test_a_correction_replaces_the_record_from_its_publication_on():
    """Earlier columns keep what was known; the age is that of the correction."""
    flows = replayed([record(8, 0, 1.0), record(10, 0, 2.0)], 12, 4).whole
    np.testing.assert_array_equal(flows.latest("TotTot"), [1.0, 1.0, 2.0, 2.0])
    np.testing.assert_array_equal(flows.age, [0.0, 1.0, 0.0, 1.0])


def test_a_late_correction_of_an_older_week_does_not_become_the_latest():
    """The largest EnDate is in force, and the age is that of its record."""
    rows = [record(8, 0, 1.0), record(13, 1, 2.0), record(14, 0, 3.0)]
    flows = replayed(rows, 16, 1).whole
    assert weeks_in_force(rows, 16) == [3.0, 2.0]
    assert flows.age.tolist() == [2.0]


def test_a_record_stamped_on_a_closed_day_counts_from_the_next_column():
    """A Saturday's correction on Monday; Sunday's is newer."""
    saturday, sunday = (date_of(4) + np.timedelta64(k, "D").astype(object) for k in (1, 2))
    rows = [record(0, 0, 2.0, PubDate=sunday), record(0, 0, 1.0, PubDate=saturday)]
    flows = replayed(rows, 6, 2).whole
    np.testing.assert_array_equal(flows.latest("TotTot"), [NAN, 2.0])


def test_the_latest_weeks_stand_at_the_end():
    """At most 52; in front there is no record."""
    rows = [record(5 * week + 4, week, float(week)) for week in range(55)]
    flows = replayed(rows, 280, 280).whole
    np.testing.assert_array_equal(flows.weekly("TotTot")[-1], np.arange(3.0, 55.0))
    early = flows.row[9]
    assert (early[:-2] == NOWHERE).all()
    assert flows.weekly("TotTot")[9, -2:].tolist() == [0.0, 1.0]


def test_a_record_counts_no_longer_than_its_depth():
    """However early the snapshots begin, an older record says nothing."""
    rows = [record(4, 0, 1.0)]
    assert weeks_in_force(rows, 4 + DEPTH + 1) == [1.0]
    assert weeks_in_force(rows, 4 + DEPTH + 2) == []


def test_the_depth_covers_a_year_of_weeks():
    """The oldest of 52 weeks still counts when the newest is 15 columns old."""
    assert DEPTH >= 5 * (WEEKS - 1) + 15


def test_sections_do_not_mix():
    """Each tier has its own, and the whole market its own."""
    names = ("TokyoNagoya", "TSEPrime", "TSEStandard", "TSEGrowth", "TSEJASDAQ")
    rows = [record(6, 0, float(i), name) for i, name in enumerate(names)]
    flows = replayed(rows, 8, 1)
    assert flows.whole.latest("TotTot").tolist() == [0.0]
    assert [flows.tiers[t].latest("TotTot").tolist() for t in (1.0, 2.0, 3.0)] == [
        [1.0], [2.0], [3.0],
    ]  # fmt: skip


def test_old_and_new_sections_of_a_tier_are_pooled():
    """The later week wins, of one week the new section, though the old one was corrected later."""
    rows = [
        record(6, 0, 1.0, "TSE1st"),
        record(6, 0, 2.0, "TSEPrime"),
        record(7, 0, 3.0, "TSE1st"),
        record(11, 1, 4.0, "TSE1st"),
    ]
    flows = replayed(rows, 13, 8).tiers[1.0]
    np.testing.assert_array_equal(flows.latest("TotTot"), [NAN, 2.0, 2.0, 2.0, 2.0, 2.0, 4.0, 4.0])


def test_every_amount_is_there():
    """A null amount stays null."""
    rows = [record(6, 0, 10.0, FrgnBal=1.0, IndBal=2.0, FrgnTot=None)]
    flows = replayed(rows, 8, 1).whole
    assert flows.latest("FrgnBal").tolist() == [1.0]
    assert flows.latest("IndBal").tolist() == [2.0]
    assert np.isnan(flows.latest("FrgnTot")).all()


RECORDS = st.lists(
    st.tuples(st.integers(0, 330), st.integers(0, 60)), min_size=1, max_size=80, unique=True
)


@settings(deadline=None, max_examples=40)
@given(RECORDS, st.integers(0, 5))
def test_the_replay_equals_a_search_for_each_week(keys, seed):
    """Whatever is published when, and in any order of rows."""
    rows = [record(day, week, float(i)) for i, (day, week) in enumerate(keys)]
    flows = replayed(random.Random(seed).sample(rows, len(rows)), 331, 40).whole
    for day in range(40):
        column = 331 - 40 + day
        expected = {}
        for value, (published, week) in sorted(enumerate(keys), key=lambda item: item[1]):
            if column - DEPTH <= published <= column:
                expected[week] = (float(value), float(column - published))
        newest = [expected[week] for week in sorted(expected)][-WEEKS:]
        seen = flows.weekly("TotTot")[day]
        assert seen[WEEKS - len(newest) :].tolist() == [value for value, _ in newest]
        assert np.isnan(seen[: WEEKS - len(newest)]).all()
        np.testing.assert_equal(flows.age[day], newest[-1][1] if newest else NAN)


def test_an_unavailable_source_has_no_weeks():
    """Everything is null, nothing fails."""
    flows = replayed([], 5, 3)
    assert np.isnan(flows.whole.latest("FrgnBal")).all()
    assert np.isnan(flows.whole.age).all()
    assert (flows.tiers[2.0].row == NOWHERE).all()
