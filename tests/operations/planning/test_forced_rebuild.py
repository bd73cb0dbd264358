"""Which chunks a rebuild means."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, UsageError
from pipeline.operations.planning.forced_rebuild import chosen

DAY = dt.date


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    store = ChunkStore(tmp_path)
    for chunk_id in ("2024Q1", "2023Q4", "2024M04", "stray"):
        (store.folder / chunk_id).mkdir(parents=True)
    return store


def test_chunks_are_meant_by_name_by_days_or_as_the_newest(store: ChunkStore) -> None:
    """In order of time, whatever they are called."""
    assert chosen(store, []) == ["2023Q4", "2024Q1", "2024M04"]
    assert chosen(store, ["2024M04", "2023Q4"]) == ["2023Q4", "2024M04"]
    assert chosen(store, [], latest_only=True) == ["2024M04"]
    days = DAY(2023, 12, 31), DAY(2024, 1, 1)
    assert chosen(store, [], days=days) == ["2023Q4", "2024Q1"]


def test_what_is_not_there_cannot_be_rebuilt(store: ChunkStore, tmp_path: Path) -> None:
    """A request would make an empty chunk that stops every merge."""
    with pytest.raises(MissingData, match="chunk 2022Q1: not in"):
        chosen(store, ["2024Q1", "2022Q1"])
    with pytest.raises(MissingData, match="no chunk between 2025-01-01 and 2025-02-01"):
        chosen(store, [], days=(DAY(2025, 1, 1), DAY(2025, 2, 1)))
    with pytest.raises(MissingData, match="no chunk in"):
        chosen(ChunkStore(tmp_path / "empty"), [], latest_only=True)
    with pytest.raises(UsageError, match="chunk id '../x'"):
        chosen(store, ["../x"])
