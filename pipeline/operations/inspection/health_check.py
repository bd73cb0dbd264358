"""Is all well? Checks for every five minutes, which find something or say nothing.

They only look: no lock is taken, nothing is written, the API is not asked. A run in progress is
no finding, and what it has just replaced under the eyes of a check is looked at again.
"""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline import configuration
from pipeline.api.catalogue.plans import window
from pipeline.cache.snapshots import SnapshotStore
from pipeline.checks.schema_gate import Checks, Gate, Verdict, compared
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore, utc_now
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import MissingData, PipelineError, SchemaMismatch, UsageError
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.fetching.source_fetch import CALENDAR, CALENDAR_SLACK
from pipeline.operations.planning import label_staleness, run_plan, waiting_corrections
from pipeline.operations.runs.luigi_command import configured_scheduler
from pipeline.quarantine import VALUE
from pipeline.run_state import output_lock
from pipeline.run_state.output_root import check_output
from pipeline.run_state.pid_file import lives, pid_files

LATE_AFTER = dt.timedelta(hours=12)  # published at night, built in the morning, late by afternoon

_STALE = dt.timedelta(hours=6)  # the longest a chunk may be under way
_RECENT = dt.timedelta(days=31)  # unreadable values that are news
_SPARE_BYTES = 2**30
_ANSWER_S = 3.0


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        check: which check found it.
        subject: what it is about, such as a chunk.
        text: what is wrong and what to do.
    """

    check: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.text}"

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Question:
    """What is checked.

    Attributes:
        late_after: how long after its publication a session may be missing.
        scheduler_url: of luigid; None: the one the configuration names, if any.
    """

    settings: Settings
    late_after: dt.timedelta = LATE_AFTER
    scheduler_url: str | None = None

    @property
    def store(self) -> ChunkStore:
        return ChunkStore(self.settings.data_output_dir)


def findings(question: Question) -> list[Finding]:
    """Everything that is not well, in the order of the checks."""
    found = []
    for check in CHECKS:
        try:
            found += list(check(question))
        except PipelineError as error:
            found.append(Finding(check.__name__, "cannot be checked", str(error)))
    return found


def manifest(_question: Question) -> Iterator[Finding]:
    """Code and manifest name the same columns."""
    try:
        run_plan.check_manifest()
    except SchemaMismatch as error:
        yield Finding("manifest", "schema/feature_schema_manifest.json", str(error))


def output(question: Question) -> Iterator[Finding]:
    """The output root can be written, and the next dataset has room in it."""
    root = question.settings.data_output_dir
    try:
        check_output(root)
    except UsageError as error:
        yield Finding("output", str(root), str(error))
        return
    here = on_host(root)  # where even what goes to an object store is written first
    if not here.exists():
        return
    needed, free = _room(question), shutil.disk_usage(here).free
    if free < needed:
        yield Finding(
            "output", str(root), f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed for the "
            "next dataset; free some space, g5 cache prune may help",
        )  # fmt: skip


def schema(question: Question) -> Iterator[Finding]:
    """Every completed chunk agrees with the manifest, with its records and with the others."""
    store = question.store
    gate = Gate(store, run_plan.load_manifest(), Checks())
    verdicts = [verdict for chunk in store.ids() if (verdict := _judge(store, gate, chunk))]
    for verdict in compared(verdicts):
        lines = verdict.lines()
        if lines:
            more = f" (and {len(lines) - 1} more: g5 check-chunks)" if len(lines) > 1 else ""
            yield Finding("schema", verdict.chunk_id, f"{lines[0]}{more}")


def runs(question: Question) -> Iterator[Finding]:
    """No build has failed, was left unfinished or goes on for ever; no pid file without a run."""
    store, now = question.store, utc_now()
    for chunk_id, status in store.statuses().items():
        if status is None:
            yield Finding("runs", chunk_id, store.status_problem(chunk_id) or "no status")
        elif status["state"].startswith("failed"):
            error = status["error"]
            text = " ".join(f"{status['state']}: {error['message']}".split())
            yield Finding("runs", chunk_id, f"{text}; the next run builds it again")
        elif status["state"] == "building" and (why := why_unfinished(status, now)):
            yield Finding("runs", chunk_id, why)
    for file in pid_files(on_host(question.settings.data_output_dir) / "run"):
        if file.exists() and file.process() is None:
            yield Finding(
                "runs", file.name, f"{file.path} names a process that is gone: the run was killed; "
                f"run it again, or clear the file with g5 stop {file.name}",
            )  # fmt: skip


def freshness(question: Question) -> Iterator[Finding]:
    """The dataset has every session that was published a while ago, without a hole."""
    settings = question.settings
    latest = DatasetStore(settings.data_output_dir).latest()
    if latest is None:
        yield Finding(
            "freshness", str(settings.data_output_dir), "no dataset; run g5 run production"
        )
        return
    calendar, reach = _calendar(settings)
    today, shown = configuration.now().date(), window(settings.plan, configuration.now().date())[1]
    # The vendor's window may end a little before the computed one.
    needed = today if today <= shown else shown - CALENDAR_SLACK
    if str(needed) > reach:
        yield Finding(
            "freshness", "trading calendar", f"that of the cache ends on {reach}; run g5 daily"
        )
        return
    published = run_plan.last_published(settings, calendar, question.late_after)
    last = latest.metadata["output_end"]
    if last < str(published):
        yield Finding(
            "freshness", latest.path.name, f"ends on {last}, {published} was published more than "
            f"{question.late_after / dt.timedelta(hours=1):g} h ago; run g5 daily",
        )  # fmt: skip
    yield from _holes(latest.metadata["chunks"], calendar)


def quarantine(question: Question) -> Iterator[Finding]:
    """Every value of the last weeks could be read; older ones are in the report."""
    store = question.store
    done = [chunk for chunk, one in store.statuses().items() if one and one["state"] == "completed"]
    if not done:
        return
    metadata = store.metadata(done[-1])
    if metadata["output_end"] is None:
        return
    since = str(dt.date.fromisoformat(metadata["output_end"]) - _RECENT)
    for entry in metadata.get("quarantine", ()):
        if entry["kind"] == VALUE and entry["last"] >= since:
            yield Finding(
                "quarantine", entry["source"], f"field {entry['field']}: {entry['count']} values "
                f"{entry['spelling']!r} of {entry['first']} to {entry['last']} cannot be read and "
                f"are null, first at {entry['record']}; see the report, g5 report",
            )  # fmt: skip


def labels(question: Question) -> Iterator[Finding]:
    """The label table is for the very builds in the dataset, and whole. A run makes it last, so
    nothing is said while one goes on."""
    root = question.settings.data_output_dir
    latest = DatasetStore(root).latest()
    if latest is None or output_lock.holder(root) is not None:
        return  # ``freshness`` has a word on the first
    origin = str(latest.metadata["origin"])
    merged = {chunk["chunk_id"]: chunk["build_id"] for chunk in latest.metadata["chunks"]}
    known = label_staleness.known_ahead(
        question.store, origin, label_staleness.cached_calendar(root, origin)
    )
    due = label_staleness.labels_due(root, merged, known)
    if due is not None:
        yield Finding("labels", latest.path.name, f"{due}; run g5 run merge")


def corrections(question: Question) -> Iterator[Finding]:
    """What the vendor corrected in closed months is in the rows, where rows are to take it in.

    With ``corrections = new_rows`` existing rows keep their values on purpose: nothing is wrong.
    """
    settings = question.settings
    if settings.corrections != "rebuild":
        return
    touched = waiting_corrections.waiting(settings.data_output_dir, settings.origin)
    if line := waiting_corrections.summary(settings, touched):
        yield Finding("corrections", str(next(iter(touched))), line)


def luigid(question: Question) -> Iterator[Finding]:
    """The central scheduler answers, if there is to be one."""
    url = question.scheduler_url or configured_scheduler()
    if url is None:
        return
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310  (as configured)
        with urllib.request.urlopen(request, timeout=_ANSWER_S):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        error.close()  # it answers, whatever it thinks of the question
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        yield Finding("luigid", url, f"does not answer: {reason}; start it: bin/luigid.sh")


Check = Callable[[Question], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    *(manifest, output, schema, runs, freshness, quarantine, labels, corrections, luigid),
)


def why_unfinished(status: Mapping[str, Any], now: dt.datetime) -> str | None:
    """What is wrong with a build that is under way; None when nothing is.

    Args:
        status: with state ``building``.
        now: with its offset.
    """
    began = dt.datetime.fromisoformat(status["started_at"])
    since = f"building since {status['started_at']}"
    if status["host"] == socket.gethostname() and not lives(status["pid"], began):
        return f"{since} by pid {status['pid']}, which is gone; the next run builds it again"
    if now - began > _STALE:
        return f"{since} by pid {status['pid']} on {status['host']}; look at it, or stop the run"
    return None


def _judge(store: ChunkStore, gate: Gate, chunk_id: str) -> Verdict | None:
    """The verdict on a completed chunk; None for any other, and for one that is being replaced."""
    before = store.status(chunk_id)
    if before is None or before["state"] != "completed":
        return None  # ``runs`` has a word on those
    verdict = gate.judge(chunk_id)
    if verdict.passed or store.status(chunk_id) == before:
        return verdict
    return None


def _room(question: Question) -> int:
    """Bytes a merge needs beside what is there, and the largest chunk with it."""
    store = question.store
    sizes = [store.parquet_bytes(chunk_id) or 0 for chunk_id in store.ids()]
    return sum(sizes) + max(sizes, default=0) + _SPARE_BYTES


def _calendar(settings: Settings) -> tuple[TradingCalendar, str]:
    """The calendar of the cache and the day it ends on.

    Raises:
        MissingData: there is none.
    """
    store = SnapshotStore(settings.data_output_dir, settings.origin)
    snapshot = store.newest(CALENDAR)
    if snapshot is None:
        raise MissingData(f"no trading calendar in {store.root}", "run g5 daily")
    return TradingCalendar.from_table(store.read(snapshot)), str(snapshot["end"])


def _holes(chunks: list[Mapping[str, Any]], calendar: TradingCalendar) -> Iterator[Finding]:
    """No session may lie between the end of a chunk and the beginning of the next."""
    day = dt.timedelta(days=1)
    filled = [chunk for chunk in chunks if chunk["output_end"]]
    for before, after in pairwise(filled):
        first, last = (
            dt.date.fromisoformat(text) for text in (before["output_end"], after["output_start"])
        )
        lost = calendar.between(np.datetime64(first + day), np.datetime64(last - day))
        if lost.size:
            yield Finding(
                "freshness", before["chunk_id"], f"{lost.size} sessions from {lost[0]} on are in "
                f"neither this chunk nor {after['chunk_id']}; run g5 run production",
            )  # fmt: skip
