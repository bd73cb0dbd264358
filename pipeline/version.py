"""Which code made an output."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

__version__ = metadata.version("g5")

#: What decides the bytes of a chunk: whole packages, and modules of others.
_PACKAGES = ("market", "features", "dataset", "cache")
_MODULES = (
    "manifest.py",
    *("api/catalogue/source_fields.py", "api/catalogue/endpoints.py", "api/catalogue/fields.py"),
    "api/decode/page_decoder.py",
    "api/decode/value_spelling.py",
    *("operations/building/chunk_build.py", "operations/building/chunk_inputs.py"),
)
#: Computes the values, or encodes them: another version may differ in the last bit or in a byte.
_LIBRARIES = ("numba", "numpy", "pyarrow")


@cache
def code_version() -> str:
    """Version of the package and a fingerprint of the code that decides values.

    Two chunks with the same code version, range and inputs are the same bytes: it covers how
    records are read, assembled, computed and encoded, and the libraries that do it.
    """
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library}=={metadata.version(library)}\0".encode())
    return f"{__version__}+{digest.hexdigest()[:8]}"


def _sources() -> Iterator[Path]:
    here = Path(__file__).parent
    for package in _PACKAGES:
        yield from sorted((here / package).rglob("*.py"))
    yield from (here / module for module in _MODULES)
