"""Rows published one by one, share counts, and values made once."""

from __future__ import annotations

from threading import Barrier, Thread

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.companies.event_records import (
    END_OF_TIME,
    Selection,
    moment,
    sorted_records,
    where_equal,
)
from pipeline.simulator.exchange.share_counts import StepProduct
from pipeline.simulator.lazy import Lazy

DAYS = np.array(["2024-06-04", "2024-06-03", "2024-06-03"], dtype="datetime64[D]")
STEPS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from([0.5, 0.25, 10.0, 1.1])),
    max_size=8,
)


def made(**times):
    """Three rows; the names tell their place in the source."""
    return sorted_records(
        DAYS,
        np.array([0, 1, 0]),
        moment(DAYS, 16, 30),
        lambda index: {"Name": np.array(["a", "b", "c"], dtype=object)[index]},
        tie=np.array([0, 2, 1]),
        **times,
    )


def chosen(records, now=END_OF_TIME, slots=None, **more):
    wanted = Selection(np.datetime64("2024-06-03"), np.datetime64("2024-06-04"), now, **more)
    return records.select(wanted, slots)["Name"].tolist()


def test_records_come_by_day_and_within_a_day_by_their_tie():
    """Whatever order they were made in."""
    assert chosen(made()) == ["c", "b", "a"]
    assert chosen(made(), slots=np.array([0])) == ["c", "a"]


def test_a_record_shows_from_its_publication_until_its_withdrawal():
    """Overwritten rows disappear; real time has moments of its own."""
    gone = np.array(["9999-12-31", "2024-06-05", "9999-12-31"], dtype="datetime64[m]")
    records = made(withdrawn=gone, at_once=moment(DAYS, 9))
    assert chosen(records, np.datetime64("2024-06-03T16:29", "m")) == []
    assert chosen(records, np.datetime64("2024-06-03T16:30", "m")) == ["c", "b"]
    assert chosen(records, np.datetime64("2024-06-03T09:00", "m"), real_time=True) == ["c", "b"]
    assert chosen(records, np.datetime64("2024-06-05T00:00", "m")) == ["c", "a"]


def test_a_filter_keeps_equal_rows_and_none_keeps_all():
    """A parameter that was not given filters nothing."""
    columns = {"A": np.array(["x", "y"], dtype=object), "B": np.array([1.0, 2.0])}
    assert where_equal(columns, "A", "y")["B"].tolist() == [2.0]
    assert where_equal(columns, "A", None) is columns


@given(STEPS, st.integers(0, 9), st.integers(0, 3))
def test_a_step_product_multiplies_what_has_happened(steps, session, slot):
    """The factors of the slot up to the session, in any order of the steps."""
    expected = np.prod([f for t, s, f in steps if s == slot and t <= session])
    found = StepProduct(steps).at(np.array([session]), np.array([slot]))
    np.testing.assert_allclose(found, [expected])


def test_a_lazy_value_is_made_once():
    """Also when several threads want it at the same time."""
    calls, barrier, found = [], Barrier(4), []
    value = Lazy(lambda: calls.append(1) or object())

    def ask():
        barrier.wait()
        found.append(value())

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(set(map(id, found))) == 1
