"""Whether an output root can be written."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import StorageError, UsageError
from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import is_remote, sizes_in


def check_output(root: Path) -> None:
    """Refuse an output folder that cannot be written, without writing anything.

    Raises:
        UsageError: it, or the nearest folder above it that exists, is no writable folder.
    """
    if is_remote(root):
        _check_store(root)
        return
    existing = root
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        what = "is not writable" if existing.is_dir() else "is not a folder"
        raise UsageError(
            f"data_output_dir {root}: {existing} {what}", "choose a folder you can write to"
        )


def _check_store(root: Path) -> None:
    """Ask an object store for something below the root."""
    try:
        with os_errors(root, "cannot be reached"):
            sizes_in(root)
    except StorageError as error:
        raise UsageError(f"data_output_dir {error.message}", error.hint) from error
