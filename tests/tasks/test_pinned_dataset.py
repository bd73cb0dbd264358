"""The dataset of a small market, pinned: a change of code alone changes no value and no byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tasks.commands import ONE_PROCESS, Home, simulator
from tests.tasks.conftest import MARKET, RANGE

#: Recorded at commit 63c7960, before the packages were nested. Whoever changes a value on purpose
#: records both again, and says in CHANGELOG.md which columns changed.
VALUES = "61a0fface368f40c0ff580d37fb78bea829d61ede501e51c3f71470ccfbd2d02"
PAGES = "c6bdd286a5bc39b4b407330dc51322d9a99618e515ccc254a28a9ed02a667ae9"
#: Another release may encode the same values otherwise.
PAGES_OF_PYARROW = "26.0.1"


@pytest.mark.slow
def test_the_dataset_is_the_recorded_one(tmp_path: Path) -> None:
    """Every source, two chunks, the dialect of the specification."""
    with simulator(*MARKET, "--dialect", "plain") as url:
        home = Home(tmp_path / "output", url, tmp_path, dict(ONE_PROCESS))
        ended = home.run("BuildAll", *RANGE, patience_s=1100)
    assert ended.code == 0, ended.told
    content = home.dataset_path().read_bytes()
    assert values_hash(pq.read_table(pa.BufferReader(content))) == VALUES
    if pa.__version__ == PAGES_OF_PYARROW:
        assert hashlib.sha256(without_footer(content)).hexdigest() == PAGES


def values_hash(rows: pa.Table) -> str:
    """sha256 over the digests of the columns."""
    digests = [column_digest(name, rows[name].combine_chunks()) for name in rows.column_names]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def column_digest(name: str, column: pa.Array) -> str:
    """sha256 over name, type, length, null positions and the bits of the values."""
    digest = hashlib.sha256(f"{name}:{column.type}:{len(column)}:".encode())
    digest.update(np.packbits(np.asarray(column.is_null())).tobytes())
    if pa.types.is_floating(column.type):
        digest.update(column.fill_null(0).to_numpy(zero_copy_only=False).tobytes())
    else:
        digest.update("\n".join(map(str, column.to_pylist())).encode())
    return digest.hexdigest()


def without_footer(content: bytes) -> bytes:
    """The pages of a Parquet file: the footer names the version of the code."""
    length = int.from_bytes(content[-8:-4], "little")
    return content[: -8 - length]
