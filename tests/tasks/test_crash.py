"""The crash harness, one trial of each kind; ``python -m tests.crash`` does hundreds."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.crash.reader import Reader
from tests.crash.result import result_of
from tests.crash.scenes import Scene
from tests.crash.trials import TRIALS
from tests.tasks.commands import EVERYTHING, Home, rewrite
from tests.tasks.conftest import RANGE

# Of an undisturbed run; only roughly, so that none is needed to find out.
SECONDS, CALLS, BYTES = 4.0, "cfrf" * 12, 4 << 20
BUILD = ("BuildAll", *RANGE, "--workers", "2")


@pytest.fixture(scope="module")
def scenes(built: Home) -> dict[str, Scene]:
    """Where trials begin."""
    expected = result_of(built)

    def scene(name: str, parts: tuple[str, ...], *more: str) -> Scene:
        words = (*BUILD, *more)
        return Scene(name, built, parts, words, BUILD, expected, SECONDS, CALLS, BYTES)

    return {"new": scene("new", ("cache",)), "old": scene("old", EVERYTHING, "--force")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "where", "seed"),
    [("kill", "new", 3), ("disk-full", "new", 1), ("failing-fs", "old", 6),
     ("double-start", "new", 1)],
)  # fmt: skip
def test_nothing_is_lost_and_nobody_sees_half_a_file(
    kind: str, where: str, seed: int, scenes: dict[str, Scene], tmp_path: Path
) -> None:
    """A disturbed run, a plain one after it: the bytes of the undisturbed build come out."""
    verdict = TRIALS[kind](scenes[where], tmp_path / "trial", random.Random(seed))
    assert not verdict.failures, verdict.what
    assert verdict.hit, verdict.what


def test_the_reader_sees_what_is_not_whole(built: Home, tmp_path: Path) -> None:
    """A cut Parquet file, a cut document, foreign content under a completed status, a file gone."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    reader = Reader(home.root)
    reader.look()
    assert not reader.found
    first, second = home.statuses()
    parquet, other = home.chunks.parquet_path(first), home.chunks.parquet_path(second)
    rewrite(parquet, parquet.read_bytes()[:-100])
    rewrite(other, home.dataset_path().read_bytes())
    rewrite(home.chunks.status_path(second), home.chunks.status_path(second).read_bytes()[:-9])
    home.chunks.metadata_path(first).unlink()
    (home.root / "labels/labels.json").unlink()
    reader.look()
    told = "\n".join(reader.found)
    for expected in (
        rf"half a file: chunks/{first}/ml_dataset.parquet",
        rf"half a document: status file .*{second}.* perhaps cut off",
        rf"chunks/{first}/metadata.json: vanished",
        rf"chunk {first}: completed, but a file is missing",
        r"labels/labels.json: vanished",
    ):
        assert re.search(expected, told), (expected, told)
