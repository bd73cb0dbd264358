"""Room on disk: measured where something lies there, assumed and said so where nothing does."""

from __future__ import annotations

import pytest

from pipeline.operations.planning.disk_estimate import Built, cache_bytes, yardstick


def test_chunks_that_are_there_are_the_measure() -> None:
    """Rows by session and bytes by row, over all of them."""
    scale = yardstick([Built(1_000, 50_000, 10), Built(3_000, 130_000, 30)], columns=100)
    assert (scale.rows_per_session, scale.bytes_per_row) == (100.0, 45.0)
    assert (scale.rows(20), scale.bytes(20)) == (2_000, 90_000)
    assert scale.basis == "measured on 2 chunks"


@pytest.mark.parametrize("built", [[], [Built(0, 0, 0)], [Built(0, 900, 5)]])
def test_without_rows_the_figures_are_assumed(built: list[Built]) -> None:
    """They grow with the catalogue."""
    small, large = yardstick(built, columns=1_000), yardstick(built, columns=2_000)
    assert large.bytes(60) == 2 * small.bytes(60) > 0
    assert small.basis.startswith("assumed")


def test_a_source_is_measured_by_its_own_days() -> None:
    """Others stand in for nothing: without days its usual size does."""
    assert cache_bytes("daily_bars", 10, known_days=4, known_bytes=400) == 1_000
    assert cache_bytes("daily_bars", 2, 0, 0) > cache_bytes("topix", 2, 0, 0) > 0
