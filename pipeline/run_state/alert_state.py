"""``run/alerts.json``: the alerts that were sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import exclusive
from pipeline.filesystem.location import on_host

Entry = dict[str, Any]


class AlertBook:
    """The alerts of an output root.

    Args:
        root: the output root; the file is created with the first alert.
    """

    def __init__(self, root: Path) -> None:
        self.path = on_host(root) / "run" / "alerts.json"

    def entries(self) -> list[Entry]:
        """All entries; none if the file is missing or damaged: better sent twice than never."""
        try:
            document = documents.read_document(self.path, "alerts")
        except PipelineError:
            return []
        entries: list[Entry] = document["alerts"]
        return entries

    def write(self, entries: Sequence[Entry]) -> None:
        """Replace all entries.

        Raises:
            StorageError: the file system refused, or an entry is malformed.
        """
        documents.write_document(self.path, "alerts", {"alerts": list(entries)})

    def locked(self) -> AbstractContextManager[None]:
        """Excludes other processes between reading and writing.

        Raises:
            StorageError: the file system refused.
        """
        return exclusive(self.path.with_name("alerts.lock"))
