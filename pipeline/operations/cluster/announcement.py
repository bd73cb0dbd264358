"""What a run tells the hosts that help it, and whether a host may.

A run on a central scheduler writes ``run/announcement.json`` into its output root when it begins:
its code, its manifest, and the settings and the moment that decide what is built. A helper takes
those over for the chunks it builds, and refuses to build any where its own code or manifest
differ. The last run that began decides.

That both mean the same output root is told by the run id: the central scheduler has that of every
run it knows, and a root knows those that were announced in it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import configuration
from pipeline.dataset.chunk_store import utc_now
from pipeline.errors import MissingData, UsageError
from pipeline.filesystem import documents
from pipeline.filesystem.location import is_remote
from pipeline.manifest import Manifest
from pipeline.operations.runs import run_recorder
from pipeline.process import log_setup
from pipeline.version import code_version

#: Of the output tree and of the announcement. To be raised when hosts of before must not help.
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


@dataclass(frozen=True)
class Announcement:
    """What a run told when it began.

    Attributes:
        host: of its main process.
        settings: options that decide what is built, as text.
        now: the moment it decides by, as in ``G5_NOW``.
        server: ``api`` or ``simulator``.
        earlier: run ids announced before in this root.
    """

    run_id: str
    host: str
    identity: Identity
    settings: Mapping[str, str]
    now: str
    server: str
    earlier: tuple[str, ...]


def identity(manifest: Manifest) -> Identity:
    """This process, with the agreed manifest as it finds it."""
    return Identity(FORMAT, code_version(), manifest.schema_hash, manifest.version)


def announce(root: Path, manifest: Manifest) -> None:
    """Write down which run begins, before its first task.

    Raises:
        StorageError: it cannot be written.
    """
    before = announced(root)
    known = [] if before is None else [before.run_id, *before.earlier]
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


def announced(root: Path) -> Announcement | None:
    """What the latest run told; None where none has.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        told = documents.read_document(root / _FILE, "announcement")
    except MissingData:
        return None
    return Announcement(
        run_id=told["run_id"],
        host=told["host"],
        identity=Identity(
            told["format"], told["code_version"], told["schema_hash"], told["schema_version"]
        ),
        settings=told["settings"],
        now=told["now"],
        server=told["server"],
        earlier=tuple(told["earlier"]),
    )


def why_foreign(told: Announcement, mine: Identity) -> str | None:
    """What differs between a run and this host; None when nothing does."""
    run, host = asdict(told.identity), asdict(mine)
    names = {"format": "format", "code_version": "code", "schema_hash": "manifest"}
    versions = {"schema_hash": "schema_version"}
    differs = [
        f"{name} {_full(host, key, versions)} here, {_full(run, key, versions)} there"
        for key, name in names.items()
        if host[key] != run[key]
    ]
    return f"run {told.run_id} of {told.host}: {'; '.join(differs)}" if differs else None


def why_elsewhere(root: Path, told: Announcement | None, runs: Iterable[str]) -> str | None:
    """Why this output root is not that of the central scheduler; None when it may be.

    Args:
        runs: ids of the runs that the central scheduler knows.
    """
    known = set() if told is None else {told.run_id, *told.earlier}
    strange = [run_id for run_id in runs if run_id not in known]
    if not strange:
        return None
    return f"output root {root}: run {strange[0]} of this scheduler never began there"


def require_same_code(root: Path, manifest: Manifest) -> None:
    """In a task process, before a chunk is built: it is made by the code its run began with.

    A package replaced while a run goes on is met here: a task process loads what lies there then.

    Raises:
        UsageError: other code, or another manifest.
    """
    told = announced(root)
    if told is None or told.run_id != log_setup.run_id():
        return
    reason = why_foreign(told, identity(manifest))
    if reason is not None:
        raise UsageError(
            f"{FOREIGN}: {reason}", "let the run end, then install one version everywhere"
        )


#: Opens the message of a task that was refused by the code it would have been built with.
FOREIGN = "foreign code"


def adopt(root: Path, told: Announcement, own: Mapping[str, str]) -> None:
    """Give the task processes that this one starts the run's settings, moment and id.

    Args:
        root: of the run, for its record.
        own: all options of this host, of which those that decide nothing remain.
    """
    os.environ |= configuration.environment(dict(own) | dict(told.settings), told.server)
    os.environ |= {"G5_RUN_ID": told.run_id, "G5_NOW": told.now}
    if not is_remote(root):  # the record lies on the host of the run
        run_recorder.add_to(root)


def runs_of(workers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of the runs among the workers that a central scheduler lists."""
    return [str(worker[RUN]) for worker in workers if worker.get(RUN)]


def _full(values: Mapping[str, Any], key: str, versions: Mapping[str, str]) -> str:
    version = versions.get(key)
    return f"{values[key]} ({values[version]})" if version else str(values[key])
