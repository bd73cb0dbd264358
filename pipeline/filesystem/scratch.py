"""Arrays of a build in a temporary file instead of memory.

A chunk keeps its base columns until the rows are made: their size grows with codes, days and
columns. Beyond a limit they lie in an unnamed file on the disk of the output, which the system
frees when the process ends, however it ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.filesystem.atomic import os_errors

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class _Place:
    """Where an array lies in the file, or the array itself."""

    shape: tuple[int, ...]
    offset: int
    array: FloatArray | None


class ArrayStore(MutableMapping[str, FloatArray]):
    """Named arrays: the first ``limit`` bytes in memory, further ones in a temporary file.

    An array from the file is mapped when it is asked for and let go with the last reference, so
    the memory of a reader is that of the arrays it holds. Replacing an array does not free its
    place in the file.

    Args:
        file: for what does not fit; written at its end.
        limit: bytes kept in memory.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._limit = limit
        self._places: dict[str, _Place] = {}
        self._held = 0
        self._written = 0

    @property
    def written(self) -> int:
        """Bytes in the file."""
        return self._written

    def __setitem__(self, name: str, array: FloatArray) -> None:
        self._held -= self._in_memory(name)
        if self._held + array.nbytes <= self._limit:
            self._held += array.nbytes
            self._places[name] = _Place(array.shape, 0, array)
            return
        offset = self._written
        with os_errors(Path("temporary file of the base columns")):
            self._file.write(array.tobytes())
            self._file.flush()
        self._written += array.nbytes
        self._places[name] = _Place(array.shape, offset, None)

    def __getitem__(self, name: str) -> FloatArray:
        place = self._places[name]
        if place.array is not None:
            return place.array
        if 0 in place.shape:
            return np.empty(place.shape)
        return np.memmap(self._file, np.float64, "r", place.offset, place.shape)

    def __delitem__(self, name: str) -> None:
        self._held -= self._in_memory(name)
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _in_memory(self, name: str) -> int:
        place = self._places.get(name)
        return 0 if place is None or place.array is None else place.array.nbytes


@contextmanager
def array_store(folder: Path, limit: int) -> Iterator[ArrayStore]:
    """A store whose file lies, without a name, in ``folder``.

    Raises:
        StorageError: the folder cannot be written, or its disk is full.
    """
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed below)
    with file:
        yield ArrayStore(file, limit)
