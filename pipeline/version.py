"""Which code made an output."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata, resources

__version__ = metadata.version("g5")


@cache
def code_version() -> str:
    """Version of the package and a fingerprint of the code that decides values.

    Two outputs with the same code version were computed by the same ``market`` and ``features``.
    """
    digest = hashlib.sha256()
    for package in ("pipeline.market", "pipeline.features"):
        for source in sorted(resources.files(package).iterdir(), key=lambda path: path.name):
            if source.name.endswith(".py"):
                digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:8]}"
