"""The chunks a step after the build is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import luigi
from luigi.task import externalize

from pipeline import configuration
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import MissingData, UsageError
from pipeline.market.calendar.periods import Period, periods_between
from pipeline.operations.fetching.source_fetch import load_calendar
from pipeline.operations.planning import output_state, run_plan
from pipeline.operations.planning.year_filter import FLAG, of_years
from pipeline.tasks.build_chunk import BuildChunk
from pipeline.tasks.task_parameters import Count, OptionalDay, OptionalYears, Switch


class OverChunks(luigi.Task):
    """Parameters and inputs shared by gate, merge and labels.

    Without ``start`` and ``end``: every chunk that is there. ``build`` is set by BuildAll; a step
    started alone never builds, it names what is missing.
    """

    start: luigi.Parameter[dt.date | None] = OptionalDay(default=None)
    end: luigi.Parameter[dt.date | None] = OptionalDay(default=None)
    chunk_months: luigi.Parameter[int] = Count(default=3)
    build: luigi.Parameter[bool] = Switch(default=False)
    all_chunks: luigi.Parameter[bool] = Switch(
        default=False, description="also take every other chunk that is there"
    )
    refresh_listed: luigi.Parameter[bool] = Switch(default=False)
    filter_by_year: luigi.Parameter[tuple[int, ...] | None] = OptionalYears(
        default=None, description="only the chunks that are there of these years: 2020,2021"
    )

    def chunks(self) -> list[BuildChunk]:
        """One task per chunk, in order of time; the ones not to be built cannot run.

        Raises:
            MissingData: there is no chunk at all, and none is to be built.
            UsageError: only one of the dates is given, or see ``planning``.
        """
        with run_plan.reported():
            self._check_dates()
            folder = configuration.settings().data_output_dir / "chunks"
            building = self._building() if self.build else {}
            found = {
                task.chunk: externalize(task)
                for task in self._as_found(c for c in self._found() if c not in building)
            }
            if not (building or found):
                raise MissingData(f"no chunk in {folder}", "run BuildAll first")
            run_plan.settings_of_step()
            tasks = {**found, **building}
            return [tasks[chunk] for chunk in sorted(tasks, key=Period.parse)]

    @staticmethod
    def builds(chunks: Sequence[BuildChunk]) -> dict[str, str | None]:
        """The receipt: which build of each of ``chunks`` a step is, or would be, made from."""
        store = ChunkStore(configuration.settings().data_output_dir)
        return output_state.builds(store, [task.chunk for task in chunks])

    def _check_dates(self) -> None:
        given = [day is not None for day in (self.start, self.end)]
        if any(given) != all(given):
            raise UsageError("one of --start and --end is missing", "give both, or neither")
        if self.build and not all(given):
            raise UsageError("--build: expected --start and --end", "run BuildAll instead")
        if self.filter_by_year and (self.build or any(given)):
            raise UsageError(f"{FLAG}: chooses among the chunks that are there", "leave out dates")

    def _building(self) -> dict[str, BuildChunk]:
        """The chunks of the range, as tasks that may run."""
        assert self.start is not None  # as _check_dates found
        assert self.end is not None
        settings = configuration.settings()
        calendar = load_calendar(settings, self.end)
        asked = run_plan.plan_chunks(settings, calendar, self.start, self.end, self.chunk_months)
        statuses = ChunkStore(settings.data_output_dir).statuses(chunk.chunk_id for chunk in asked)
        ranges = [
            run_plan.with_what_is_there(chunk, statuses[chunk.chunk_id], settings.origin)
            for chunk in asked
        ]
        snapshot = run_plan.source_range(settings, calendar, ranges)
        return {
            chunk.chunk_id: BuildChunk(
                chunk=chunk.chunk_id,
                first=chunk.first,
                last=chunk.last,
                snapshot=str(snapshot),
                refresh_listed=self.refresh_listed,
            )
            for chunk in ranges
        }

    def _found(self) -> list[str]:
        """Chunks taken as they are."""
        if self.build and not self.all_chunks:
            return []
        if self.build or self.start is None or self.end is None:
            found = ChunkStore(configuration.settings().data_output_dir).ids()
            return of_years(found, self.filter_by_year) if self.filter_by_year else found
        periods = periods_between(self.start, self.end, self.chunk_months)
        return [period.chunk_id for period in periods]

    def _as_found(self, chunks: Iterable[str]) -> list[BuildChunk]:
        """Tasks that ask of each chunk only the range it covers."""
        statuses = ChunkStore(configuration.settings().data_output_dir).statuses(chunks)
        found = [output_state.as_found(chunk, status) for chunk, status in statuses.items()]
        return [
            BuildChunk(
                chunk=chunk.chunk_id,
                first=chunk.first,
                last=chunk.last,
                snapshot=f"{chunk.first}_{chunk.last}",
            )
            for chunk in found
        ]
