"""Chunks: ``chunks/<chunk_id>/`` with ml_dataset.parquet, metadata.json and status.json.

A build (1) writes status ``building``, with the status it replaces in it; (2) writes the Parquet
file under a temporary name; (3) writes the metadata beside those of the old file; (4) renames the
one and replaces the other; (5) writes status ``completed``, which is the commit. Killed at any
point it leaves a chunk that is not complete, an error leaves status ``failed``. The next build
first makes good what it finds (``recover``): until (4) the old build stands untouched and counts
again, so rows that were published stay as they were; after it only the commit is missing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pipeline.dataset.build_record import begun, facts_of, metadata_of, with_content
from pipeline.dataset.build_request import BuildOrder
from pipeline.dataset.chunk_growth import Growth, growth_of, read_base, writer_of
from pipeline.dataset.chunk_status import committed, failed_by, refused, why_not_complete
from pipeline.dataset.content_checks import ChunkWriter
from pipeline.dataset.parquet.layout import Layout, file_sha256
from pipeline.errors import (
    DamagedFile,
    MissingData,
    PipelineError,
    StorageError,
    UsageError,
)
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import (
    commit_bytes,
    current,
    os_errors,
    remove_file,
    renewing,
    require_ours,
    shown_bytes,
)
from pipeline.filesystem.local_copies import local_copy
from pipeline.filesystem.location import at_once, folders_in, read_bytes
from pipeline.manifest import stamped
from pipeline.market.calendar.periods import ChunkRange, Period
from pipeline.market.calendar.sessions import TradingCalendar

Document = dict[str, Any]
Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The current time in UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


class ChunkStore:
    """The ``chunks/`` folder of an output root.

    Args:
        root: the output root; its ``chunks/`` is created with the first chunk.
        clock: gives the times written into documents.
    """

    def __init__(self, root: Path, clock: Clock = utc_now) -> None:
        self.folder = root / "chunks"
        self._clock = clock

    @classmethod
    def at(cls, folder: Path, clock: Clock = utc_now) -> Self:
        """The chunks in a folder of any name."""
        store = cls(folder.parent, clock)
        store.folder = folder
        return store

    def parquet_path(self, chunk_id: str) -> Path:
        return self.folder / chunk_id / "ml_dataset.parquet"

    def parquet_file(self, chunk_id: str) -> Path:
        """What to read of the Parquet file: the present one, whatever takes its place meanwhile.

        Raises:
            StorageError: an object store refused.
        """
        path = self.parquet_path(chunk_id)
        with os_errors(path, "cannot be read"):
            return current(path)

    def parquet_copy(self, chunk_id: str) -> Path:
        """The same as a file of this machine, for who reads most of it.

        Raises:
            StorageError: an object store refused.
        """
        return local_copy(self.parquet_file(chunk_id))

    def metadata_path(self, chunk_id: str) -> Path:
        return self.folder / chunk_id / "metadata.json"

    def status_path(self, chunk_id: str) -> Path:
        return self.folder / chunk_id / "status.json"

    def next_metadata_path(self, chunk_id: str) -> Path:
        """Metadata of a Parquet file that is about to take its place."""
        return self.folder / chunk_id / "metadata.next.json"

    def rebuild_path(self, chunk_id: str) -> Path:
        return self.folder / chunk_id / "rebuild.json"

    def ids(self) -> list[str]:
        """Ids of the chunks on disk in order of time; other files and folders are passed over.

        Raises:
            StorageError: the folder is there but cannot be read.
        """
        with os_errors(self.folder, "cannot be read"):
            names = folders_in(self.folder)
        periods = [period for name in names if (period := _period(name))]
        return [period.chunk_id for period in sorted(periods)]

    def status(self, chunk_id: str) -> Document | None:
        """The status; None when it is missing or damaged, which both mean: not complete.

        Raises:
            StorageError: it cannot be read, so that nothing is known.
        """
        try:
            return self.read_status(chunk_id)
        except (MissingData, DamagedFile):
            return None

    def read_status(self, chunk_id: str) -> Document:
        """The status, or why there is none to speak of.

        Raises:
            MissingData: the chunk was never built.
            DamagedFile: it is damaged or another chunk's.
            StorageError: it cannot be read.
        """
        return self._read_own(self.status_path(chunk_id), "status", chunk_id)

    def statuses(self, chunk_ids: Iterable[str] | None = None) -> dict[str, Document | None]:
        """The status of each of these chunks, in their order; without, of all in order of time.

        Raises:
            StorageError: as :meth:`ids` and :meth:`status`.
        """
        ids = self.ids() if chunk_ids is None else list(chunk_ids)
        return dict(zip(ids, at_once(self.folder, self.status, ids), strict=True))

    def status_problem(self, chunk_id: str) -> str | None:
        """Why :meth:`status` gives nothing, as one line; None when it gives something."""
        try:
            self.read_status(chunk_id)
        except PipelineError as error:
            return str(error)
        return None

    def metadata(self, chunk_id: str) -> Document:
        """The metadata.

        Raises:
            MissingData: there are none.
            DamagedFile: they are damaged or another chunk's.
            StorageError: they cannot be read.
        """
        return self._read_own(self.metadata_path(chunk_id), "metadata", chunk_id)

    def parquet_bytes(self, chunk_id: str) -> int | None:
        """Size of the Parquet file on disk; None without one.

        Raises:
            StorageError: it cannot be reached.
        """
        return shown_bytes(self.parquet_path(chunk_id))

    def request_rebuild(self, chunk_ids: Iterable[str], reason: str) -> dict[str, str]:
        """Ask durably that chunks be built once more, whether they are complete or not.

        Returns:
            Id of the request of each chunk.

        Raises:
            UsageError: a malformed chunk id; nothing is requested then.
            StorageError: the file system refused.
        """
        requests = {Period.parse(chunk_id).chunk_id: uuid.uuid4().hex for chunk_id in chunk_ids}
        for chunk_id, request in requests.items():
            note = {"id": request, "reason": reason, "requested_at": self._now()}
            documents.write_document(self.rebuild_path(chunk_id), "rebuild", note)
        return requests

    def wanted(self, chunk_id: str) -> str | None:
        """Id of the latest rebuild request; None when there is none.

        A damaged request is still a request: its content stands for its id, so it is answered
        by one build like any other.

        Raises:
            StorageError: the file is there but cannot be read.
        """
        path = self.rebuild_path(chunk_id)
        with os_errors(path, "cannot be read"):
            try:
                content = read_bytes(path)
            except FileNotFoundError:
                return None
        try:
            request = documents.parse_document(content, path, "rebuild")["id"]
        except StorageError:
            request = hashlib.sha256(content).hexdigest()[:32]
        return str(request)

    def why_not_complete(
        self, chunk_id: str, *, origin: str, first: dt.date, last: dt.date
    ) -> str | None:
        """Reason why a chunk does not serve a run that asks for [first, last]; None if it does.

        Looks at three small files and a file size; never at a clock or into the Parquet file.

        Raises:
            StorageError: one of them cannot be read: a chunk is not built again for that.
        """
        try:
            status = self.read_status(chunk_id)
        except (MissingData, DamagedFile) as error:
            return error.message
        return why_not_complete(
            status,
            self.parquet_bytes(chunk_id),
            origin=origin,
            first=first,
            last=last,
            wanted=self.wanted(chunk_id),
        )

    def reasons(self, chunks: Iterable[ChunkRange], origin: str) -> list[str | None]:
        """:meth:`why_not_complete` of each of these chunks, in their order."""

        def reason(chunk: ChunkRange) -> str | None:
            return self.why_not_complete(
                chunk.chunk_id, origin=origin, first=chunk.first, last=chunk.last
            )

        return at_once(self.folder, reason, chunks)

    def recover(self, chunk_id: str) -> str | None:
        """Make good what a build left that ended early; to be called before the next one begins.

        Returns:
            What was done, to be said of the chunk; None when nothing was to do, or all is lost.

        Raises:
            StorageError: something cannot be read or written.
        """
        status = self.status(chunk_id)
        if status is None or status["state"] not in ("building", "failed"):
            return None
        if self.parquet_bytes(chunk_id) is None:
            return None
        parquet = self.parquet_copy(chunk_id)
        with os_errors(parquet, "cannot be read"):
            sha256 = file_sha256(parquet)
        for path in (self.next_metadata_path(chunk_id), self.metadata_path(chunk_id)):
            metadata = self._usable(path, chunk_id)
            if metadata is None or metadata["dataset_hash"] != sha256:
                continue
            if metadata["build_id"] == status["build_id"]:
                self._publish(metadata)
                self._commit(committed(status, metadata, parquet.stat().st_size, self._now()))
                return "was whole but for the last step of its build, which is done now"
            previous = status.get("previous")
            if previous is not None and metadata["build_id"] == previous["build_id"]:
                self._write_status(previous)
                return f"stands as it was before its build ended early ({status['started_at']})"
        return None

    def growth(
        self, order: BuildOrder, layout: Layout, calendar: TradingCalendar
    ) -> Growth | str | None:
        """How a build goes on from the chunk on disk, or why it makes all rows anew.

        None where nothing else is to be expected: there is no complete chunk, or a rebuild was
        requested.
        """
        chunk_id = order.chunk_id
        status, wanted = self.status(chunk_id), self.wanted(chunk_id)
        if status is None or status["state"] != "completed" or wanted not in (
            None, status["rebuild"]
        ):  # fmt: skip
            return None
        try:
            metadata = self.metadata(chunk_id)
        except (MissingData, DamagedFile) as error:
            return error.message
        try:
            base = read_base(self.parquet_copy(chunk_id), status, metadata)
        except DamagedFile as error:
            return error.message
        return growth_of(base, order, layout, calendar)

    @contextmanager
    def build(
        self, order: BuildOrder, layout: Layout | None = None, growth: Growth | None = None
    ) -> Iterator[ChunkWriter]:
        """Build a chunk: the block writes row groups, its end publishes them.

        Args:
            growth: the rows of the present build that stand; the block writes those behind them.

        Raises:
            SchemaMismatch: the rows do not fit the schema; status ``failed_schema_mismatch``.
            StorageError: the rows are out of order or the file system refused; ``failed``.
            Exception: whatever the block raises, recorded as ``failed`` and raised again.
        """
        earlier = self._usable(self.metadata_path(order.chunk_id), order.chunk_id)
        status = self._begin(order, growth)
        what = f"chunk {order.chunk_id}"
        schema = stamped(order.schema, order.schema_version)
        try:
            with renewing(self.parquet_path(order.chunk_id)) as parquet:
                writer = writer_of(growth, parquet, schema, layout or Layout(), what, order.ranges)
                with writer:
                    yield writer
                contents = writer.contents()
                done = status | facts_of(parquet, writer.sha256(), contents)
                document = metadata_of(order, done, contents, self._now())
                document = with_content(document, writer, earlier)
                # The old file and its metadata are a pair until both are replaced.
                next_path = self.next_metadata_path(order.chunk_id)
                documents.write_document(next_path, "metadata", document)
                require_ours(self.status_path(order.chunk_id), _of_build(status))
            self._publish(document)
            self._commit(committed(done, document, done["parquet_bytes"], self._now()))
        except Exception as error:
            self._record_failure(status, error)
            raise

    def mark_schema_mismatch(self, chunk_id: str, message: str) -> None:
        """Withdraw a completed chunk that the gate refused; the next run builds it again.

        Other chunks are left as they are: they are not complete anyway.

        Raises:
            StorageError: the file system refused.
        """
        status = self.status(chunk_id)
        if status is None or status["state"] != "completed":
            return
        self._write_status(refused(status, message))

    def _usable(self, path: Path, chunk_id: str) -> Document | None:
        """The metadata in a file; None when they are missing or damaged."""
        try:
            return self._read_own(path, "metadata", chunk_id)
        except (MissingData, DamagedFile):
            return None

    def _begin(self, order: BuildOrder, growth: Growth | None) -> Document:
        """Write status ``building``; the rebuild request it answers is the one standing now.

        A chunk that grows answers none: one that came since that was decided stays open.
        """
        rebuild = growth.base.status["rebuild"] if growth else self.wanted(order.chunk_id)
        status = begun(order, rebuild, self._now(), replaced=self.status(order.chunk_id))
        self._write_status(status)
        return status

    def _record_failure(self, status: Document, error: Exception) -> None:
        failed = failed_by(status, error, self._now())
        path = self.status_path(status["chunk_id"])
        content = documents.encode_document(path, "status", failed)
        try:
            commit_bytes(path, content, _of_build(status))
        except StorageError as second:
            # ``building`` stays on disk and is not complete either; the first error matters.
            if str(second) != str(error):
                error.add_note(f"and the failure could not be recorded: {second}")

    def _publish(self, metadata: Document) -> None:
        """Put the metadata beside the Parquet file they speak of, which is there."""
        chunk_id = metadata["chunk_id"]
        documents.write_document(self.metadata_path(chunk_id), "metadata", metadata)
        next_path = self.next_metadata_path(chunk_id)
        with os_errors(next_path):
            remove_file(next_path)

    def _commit(self, status: Document) -> None:
        """Say that the build is complete, if it is still the one that the status speaks of."""
        path = self.status_path(status["chunk_id"])
        content = documents.encode_document(path, "status", status)
        commit_bytes(path, content, _of_build(status))

    def _write_status(self, status: Document) -> None:
        documents.write_document(self.status_path(status["chunk_id"]), "status", status)

    def _read_own(self, path: Path, kind: documents.Kind, chunk_id: str) -> Document:
        document = documents.read_document(path, kind)
        if document["chunk_id"] != chunk_id:
            raise DamagedFile(
                f"{kind} file {path}: belongs to chunk {document['chunk_id']}, not {chunk_id}",
                "it was copied here; request a rebuild of the chunk: g5 rebuild",
            )
        return document

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def _of_build(status: Document) -> Callable[[bytes], bool]:
    """Whether the content of a status file is about this build."""
    build = status["build_id"]

    def same(content: bytes) -> bool:
        try:
            return bool(json.loads(content)["build_id"] == build)
        except (ValueError, KeyError, TypeError):
            return False

    return same


def _period(name: str) -> Period | None:
    """The period of a folder name; None for a stray folder."""
    try:
        return Period.parse(name)
    except UsageError:
        return None
