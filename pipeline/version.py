"""Which code made an output."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable

__version__ = metadata.version("g5")

#: What decides the bytes of a chunk: whole packages, and modules of others.
_PACKAGES = ("pipeline.market", "pipeline.features", "pipeline.storage")
_MODULES = {
    "pipeline": ("manifest.py",),
    "pipeline.api": ("columns.py", "decode.py", "endpoints.py", "fields.py"),
    "pipeline.tasks": ("chunks.py", "inputs.py"),
}
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


def _sources() -> Iterator[Traversable]:
    for package in _PACKAGES:
        files = resources.files(package).iterdir()
        yield from sorted((f for f in files if f.name.endswith(".py")), key=lambda f: f.name)
    for package, names in _MODULES.items():
        yield from (resources.files(package) / name for name in names)
