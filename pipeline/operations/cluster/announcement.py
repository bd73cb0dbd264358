"""``run/announcement.json``: a run on a central scheduler, for the hosts that help it.

It holds the code, the manifest, and the settings and moment that decide what is built. A helper
adopts them for the chunks it builds, and refuses if its own code or manifest differ. The latest run
counts.

Run ids show whether both mean the same output root: the central scheduler knows that of each run,
and the announcement those of earlier runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pipeline import configuration
from pipeline.dataset.chunk_store import utc_now
from pipeline.errors import MissingData, UsageError
from pipeline.filesystem import documents
from pipeline.filesystem.document_types import AnnouncementDocument
from pipeline.filesystem.location import is_remote
from pipeline.manifest import Manifest
from pipeline.operations.runs import run_recorder
from pipeline.process import log_setup
from pipeline.version import code_version

#: Of the output tree and the announcement; raised when hosts with older code must not help.
FORMAT = 1

#: Name under which a run leaves its id with the central scheduler, beside host and pid.
RUN = "g5_run"

_FILE = Path("run", "announcement.json")
_EARLIER = 50  # run ids an announcement remembers


@dataclass(frozen=True)
class Identity:
    """What two hosts must have in common to build chunks of one run."""

    format: int
    code_version: str
    schema_hash: str
    schema_version: str


def identity(manifest: Manifest) -> Identity:
    """The identity of this process and manifest."""
    return Identity(FORMAT, code_version(), manifest.schema_hash, manifest.version)


def announce(root: Path, manifest: Manifest) -> None:
    """Announce this run, before its first task.

    Raises:
        StorageError: it cannot be written.
    """
    before = announced(root)
    known = [] if before is None else [before["run_id"], *before["earlier"]]
    run_id = log_setup.run_id()
    document = {
        **asdict(identity(manifest)),
        "run_id": run_id,
        "began_at": utc_now().isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "now": configuration.stamp(),
        "server": configuration.settings().server,
        "settings": configuration.decisive(),
        "earlier": [one for one in known if one != run_id][:_EARLIER],
    }
    documents.write_document(root / _FILE, "announcement", document)


def announced(root: Path) -> AnnouncementDocument | None:
    """The latest announced run; None without any.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        return cast(AnnouncementDocument, documents.read_document(root / _FILE, "announcement"))
    except MissingData:
        return None


def why_foreign(run: AnnouncementDocument, mine: Identity) -> str | None:
    """What differs between a run and this host; None when nothing does."""
    differs = []
    if mine.format != run["format"]:
        differs.append(f"format {mine.format} here, {run['format']} there")
    if mine.code_version != run["code_version"]:
        differs.append(f"code {mine.code_version} here, {run['code_version']} there")
    if mine.schema_hash != run["schema_hash"]:
        here, there = f"{mine.schema_hash} ({mine.schema_version})", run["schema_hash"]
        differs.append(f"manifest {here} here, {there} ({run['schema_version']}) there")
    return f"run {run['run_id']} of {run['host']}: {'; '.join(differs)}" if differs else None


def why_elsewhere(root: Path, run: AnnouncementDocument | None, runs: Iterable[str]) -> str | None:
    """Why this output root is not that of the central scheduler; None when it may be.

    Args:
        runs: ids of the runs that the central scheduler knows.
    """
    known = set() if run is None else {run["run_id"], *run["earlier"]}
    strange = [run_id for run_id in runs if run_id not in known]
    if not strange:
        return None
    return f"output root {root}: run {strange[0]} of this scheduler never began there"


def require_same_code(root: Path, manifest: Manifest) -> None:
    """Check in a task process that the chunk is built by the code its run began with.

    It differs when the package was replaced during the run: task processes load the new one.

    Raises:
        UsageError: other code, or another manifest.
    """
    run = announced(root)
    if run is None or run["run_id"] != log_setup.run_id():
        return
    reason = why_foreign(run, identity(manifest))
    if reason is not None:
        raise UsageError(
            f"{FOREIGN}: {reason}", "let the run end, then install one version everywhere"
        )


#: Begins the message of a task refused because of other code.
FOREIGN = "foreign code"


def adopt(root: Path, run: AnnouncementDocument, own: Mapping[str, str]) -> None:
    """Pass the run's settings, moment and id to the task processes of this one.

    Args:
        root: of the run, for its record.
        own: all options of this host; those that decide what is built are replaced.
    """
    os.environ |= configuration.environment(dict(own) | dict(run["settings"]), run["server"])
    os.environ |= {"G5_RUN_ID": run["run_id"], "G5_NOW": run["now"]}
    if not is_remote(root):  # there the record is on the host of the run
        run_recorder.add_to(root)


def runs_of(workers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the runs among the workers that a central scheduler lists."""
    return [str(worker[RUN]) for worker in workers if worker.get(RUN)]
