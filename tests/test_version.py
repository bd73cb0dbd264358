"""Which code counts as other code."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pipeline import version


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """The version is computed once per process."""
    version.code_version.cache_clear()
    yield
    version.code_version.cache_clear()


def test_it_covers_what_decides_the_bytes_of_a_chunk() -> None:
    """From the records to the file; what shows or serves a chunk is no part of it."""
    package = Path(version.__file__).parent
    names = {str(path.relative_to(package)) for path in version._sources()}
    assert {
        *("market/panel/price_panel.py", "features/engine/window_kernels.py"),
        *("dataset/parquet/layout.py", "dataset/parquet/splice.py"),
        *("operations/building/chunk_inputs.py", "api/catalogue/endpoints.py", "manifest.py"),
    } <= names
    assert all((package / name).is_file() for name in names)
    assert not {name for name in names if name.startswith(("cli/", "report/", "simulator/"))}


@pytest.mark.parametrize("library", ["numba", "numpy", "pyarrow"])
def test_another_library_is_other_code(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value may differ in its last bit, a file in how it is encoded."""
    before = version.code_version()
    known = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "0.0.1" if name == library else known(name)
    )
    version.code_version.cache_clear()
    assert version.code_version() != before
