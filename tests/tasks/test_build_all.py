"""BuildAll, the whole way: what is there afterwards, and what a second run does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.features.engine import catalogue
from tests.tasks.commands import Ended, Home, asked, dates_of
from tests.tasks.conftest import RANGE


def test_one_command_builds_two_chunks_and_a_dataset(first_run: tuple[Home, Ended]) -> None:
    """Exit code 0, one line per event, and everything says where it comes from."""
    home, ended = first_run
    assert ended.code == 0
    assert all("error" not in line and "warning" not in line for line in ended.told)
    assert any(line.endswith("2024-03-01 to 2024-04-12") for line in ended.told)
    statuses = home.statuses()
    assert list(statuses) == ["2024Q1", "2024Q2"]
    assert {s["state"] for s in statuses.values()} == {"completed"}
    assert {s["origin"] for s in statuses.values()} == {"simulator"}
    assert len({s["pid"] for s in statuses.values()}) == 2
    dataset = home.dataset()
    assert dataset is not None
    assert dataset.metadata["origin"] == "simulator"


def test_the_dataset_is_the_sorted_sum_of_its_chunks(built: Home) -> None:
    """Every row once, by Date and Code; the columns of the catalogue; nothing outside the range."""
    table = pq.read_table(built.dataset_path())
    assert table.column_names == catalogue.column_schema().names
    chunks = [pq.read_table(built.chunks.parquet_path(chunk)) for chunk in built.chunks.ids()]
    assert table.equals(pa.concat_tables(chunks))
    keys = list(zip(table["Date"].to_pylist(), table["Code"].to_pylist(), strict=True))
    assert keys == sorted(set(keys))
    days = dates_of(built.dataset_path())
    assert (days[0], days[-1], len(days)) == ("2024-03-01", "2024-04-12", 30)
    assert np.isfinite(pc.mean(table["ret_prev_1d"]).as_py())


def test_a_second_run_does_nothing(built: Home) -> None:
    """No request, no file touched, exit code 0, and it says so."""
    requests, files = asked(built.url), built.facts()
    ended = built.run("BuildAll", *RANGE, "--workers", "2")
    assert ended.code == 0
    assert asked(built.url) == requests
    assert built.facts() == files
    (line,) = ended.told
    assert "complete" in line


@pytest.mark.parametrize("start", ["2024-03-05", "2024-02-29"])
def test_a_wider_range_is_more_to_do_and_a_narrower_one_is_not(built: Home, start: str) -> None:
    """Nothing runs: Luigi only says which of its tasks would."""
    ended = built.run("BuildAll", "--start", start, *RANGE[2:], "--workers", "0")
    assert ended.code == (0 if start > "2024-03-01" else 25)
