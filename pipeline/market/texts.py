"""Columns of few texts: what they hold, and which row holds what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def texts_of(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """(rows,) plain texts, whether dictionary-encoded or not; null counts as an empty one."""
    return column.cast(pa.string()).fill_null("")


def encoded(column: pa.ChunkedArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """(rows,) position in the list of distinct texts; null counts as an empty text."""
    flat = texts_of(column).combine_chunks().dictionary_encode()
    return flat.indices.to_numpy(zero_copy_only=False).astype(np.int64), [
        str(text) for text in flat.dictionary.to_pylist()
    ]
