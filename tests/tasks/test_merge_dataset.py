"""MergeChunks on its own: the view beside the dataset, and some years of the chunks."""

from __future__ import annotations

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.dataset.views import ViewStore
from tests.tasks.commands import EVERYTHING, Home


def test_a_view_is_made_once_and_again_only_when_a_chunk_changed(
    built: Home, tmp_path: Path
) -> None:
    """The dataset stays as it is; without the flag nobody asks for the view."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    dataset = home.dataset_path()
    ended = home.run("MergeChunks", "--view", "--filter-by-year", "2024")
    assert ended.code == 0, ended.told
    view = ViewStore(home.root).latest()
    assert view is not None
    assert any(line.endswith(f"view: {view}") for line in ended.told)
    table = ds.parquet_dataset(view / "_metadata").to_table(columns=["Date", "Code"])
    assert table.equals(pq.read_table(dataset, columns=["Date", "Code"]))
    assert home.dataset_path() == dataset
    before = home.facts()
    assert home.run("MergeChunks", "--view").code == 0
    assert home.facts() == before
    chunk = home.chunks.parquet_path("2024Q2")
    content = chunk.read_bytes()
    chunk.unlink()
    chunk.write_bytes(content)  # as a rebuild would: the same name, another file
    assert home.run("MergeChunks").code == 0
    assert ViewStore(home.root).latest() == view
    assert home.run("MergeChunks", "--view").code == 0
    assert ViewStore(home.root).latest() != view


def test_years_choose_among_the_chunks_that_are_there(built: Home, tmp_path: Path) -> None:
    """A year without a chunk is missing data; with dates, or badly written, it is wrong use."""
    home = built.copy(tmp_path / "output", "cache", "chunks")
    for words, code, said in (
        (("--filter-by-year", "2023"), 20, "--filter-by-year: no chunk of 2023"),
        (("--filter-by-year", "24"), 2, "expected years such as 2020,2021"),
        (
            ("--filter-by-year", "2024", "--start", "2024-01-01", "--end", "2024-03-31"),
            *(2, "chooses among the chunks that are there"),
        ),
    ):
        ended = home.run("MergeChunks", *words)
        assert ended.code == code, ended.told
        assert said in ended.told[-1]
    assert home.dataset() is None
