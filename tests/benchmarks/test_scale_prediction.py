"""Predicted times on many hosts, against cases worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scale_prediction import (
    AFTER,
    API,
    COMPUTE,
    FETCH,
    LAST_WAVE,
    MERGE,
    SCHEDULER,
    STORE,
    Cluster,
    Work,
    fit,
    law,
    predict,
    slots_of,
)

GIB = 2**30

#: 80 chunks of 60 s (20 s that one core must do, 80 s that two share), 1.5 GB moved for each.
WORK = Work(
    chunks=80,
    serial_s=20.0,
    parallel_s=80.0,
    moved_bytes=1.5e9,
    peak_bytes=4 * GIB,
    api_s=400.0,
    fetch_s=300.0,
    calls=13.0,
    call_s=0.01,
    calls_per_s=400.0,
    ping_s=1.0,
    pickup_s=3.5,
    merge_s=200.0,
    dataset_bytes=100e9,
    after_s=100.0,
)
#: An object store that is no limit: 10 s for the bytes of a chunk, 133 s for those of the merge.
HOSTS = Cluster(hosts=1, cores=2, memory_bytes=8 * GIB, store_bytes_s=1e12, host_bytes_s=1.5e8)


def on(hosts: int, **changes: float) -> Cluster:
    return replace(HOSTS, hosts=hosts, **changes)


def test_one_host_builds_chunk_after_chunk() -> None:
    found = predict(replace(WORK, dataset_bytes=1e9), on(1))
    assert found.waves == 80
    assert found.parts == pytest.approx(
        {
            API: 400.0,
            COMPUTE: 80 * 60.0,
            LAST_WAVE: 0.0,
            STORE: 80 * 10.0,
            SCHEDULER: 3.5 + 80 * 13 * 0.01,
            MERGE: 200.0,
            AFTER: 100.0,
        }
    )
    assert found.seconds == pytest.approx(400 + 4800 + 800 + 13.9 + 200 + 100)
    assert found.bottleneck == COMPUTE


def test_the_last_wave_takes_as_long_as_a_full_one() -> None:
    """80 chunks on 64 hosts: 64, then 16 while 48 hosts stand idle."""
    found = predict(replace(WORK, api_s=0.0, fetch_s=0.0, dataset_bytes=0.0, merge_s=0.0), on(64))
    assert found.waves == 2
    assert found.parts[COMPUTE] == pytest.approx(75.0)
    assert found.parts[LAST_WAVE] == pytest.approx(45.0)
    assert found.parts[COMPUTE] + found.parts[LAST_WAVE] == pytest.approx(2 * 60)
    assert predict(WORK, on(16)).parts[LAST_WAVE] == 0.0
    late = predict(replace(WORK, chunks=65, api_s=0.0, fetch_s=0.0, after_s=0.0), on(64))
    assert late.parts[LAST_WAVE] == pytest.approx(120 - 60 * 65 / 64)


@pytest.mark.parametrize(
    ("bottleneck", "work", "cluster"),
    [
        (COMPUTE, WORK, on(2)),
        (COMPUTE, replace(WORK, chunks=240, serial_s=900.0), on(64)),  # a sixteenth is lost
        (API, replace(WORK, dataset_bytes=0.0), on(64)),
        (FETCH, replace(WORK, fetch_s=5000.0), on(1)),
        (MERGE, WORK, on(64)),  # 2 x 100 GB through one host: 1333 s
        # 20 waves of 150 s for the bytes; the dataset is on a store of its own
        (STORE, replace(WORK, dataset_bytes=0.0), on(4, host_bytes_s=1e7)),
        (LAST_WAVE, replace(WORK, serial_s=900.0), on(64)),  # three eighths of two waves
        (SCHEDULER, replace(WORK, calls_per_s=70.0, calls=900.0), on(64)),
        (AFTER, replace(WORK, after_s=9000.0), on(1)),
    ],
)
def test_the_longest_part_is_named(bottleneck: str, work: Work, cluster: Cluster) -> None:
    assert predict(work, cluster).bottleneck == bottleneck


def test_hosts_share_the_store() -> None:
    """1.5 GB each through 1 GB/s for all: 16 hosts get 62.5 MB/s, four no more than their own."""
    shared = {"store_bytes_s": 1e9}
    assert predict(WORK, on(16, **shared)).parts[STORE] == pytest.approx(5 * 24.0)
    assert predict(WORK, on(4, **shared)).parts[STORE] == pytest.approx(20 * 10.0)


def test_pings_and_calls_go_through_one_scheduler() -> None:
    """400 calls a second, 64 of them pings: 80 chunks x 1,000 calls need 80,000 / 336 s."""
    busy = predict(replace(WORK, calls=1000.0), on(64))
    assert busy.parts[SCHEDULER] == pytest.approx(3.5 + 80_000 / 336)
    # Two waves of 60 s and 10 s for the bytes
    assert busy.calls_per_s == pytest.approx(64 + 80_000 / 140)
    drowned = predict(replace(WORK, calls_per_s=64.0), on(64))
    assert drowned.seconds == math.inf
    assert drowned.bottleneck == SCHEDULER


def test_a_large_host_builds_several_chunks() -> None:
    assert slots_of(on(1), 4 * GIB) == 1
    assert slots_of(on(1, cores=16, memory_bytes=64 * GIB), 4 * GIB) == 8
    assert slots_of(on(1, cores=16, memory_bytes=15 * GIB), 4 * GIB) == 3
    assert slots_of(on(1, cores=1), 4 * GIB) == 1
    found = predict(WORK, on(2, cores=4, memory_bytes=8 * GIB))
    assert (found.slots, found.waves) == (2, 20)
    # Two chunks share what their host can move.
    assert found.parts[STORE] == pytest.approx(20 * 20.0)


def test_one_core_does_all_of_it() -> None:
    assert predict(WORK, on(1, cores=1)).parts[COMPUTE] == pytest.approx(80 * 100.0)


def test_a_host_that_cannot_hold_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs 4\.0 GiB and a host has 2\.0"):
        predict(WORK, on(1, memory_bytes=2 * GIB))


def test_a_law_is_found_again() -> None:
    """5 s, 2 ms for a stock, 0.2 ms for a row: from two markets, a quarter and a month of each."""
    shapes = [(1000, 62), (1000, 21), (2000, 62), (2000, 20)]
    points = [(n, d, 5.0 + 0.002 * n + 0.0002 * n * d) for n, d in shapes]
    found = law(points)
    assert (found.fixed, found.per_stock, found.per_row) == pytest.approx((5.0, 0.002, 0.0002))
    assert found.at(4000, 61) == pytest.approx(5.0 + 8.0 + 48.8)


def test_no_cost_is_negative() -> None:
    """A line through these would begin below zero."""
    assert fit([(1.0, 1.0), (1.0, 2.0)], [1.0, 3.0])[0] == 0.0
    assert fit([(1.0, 1.0), (1.0, 2.0)], [3.0, 1.0])[1] == 0.0
