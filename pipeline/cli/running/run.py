"""``g5 run``: start a run by one of the profiles.

It starts ``luigi --module pipeline ...`` with the settings of the profile, so that a run can be
watched and stopped like one started by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline import configuration, tasks
from pipeline.cli.inspection import plan
from pipeline.cli.terminal import options
from pipeline.cli.terminal.screen import screen_of
from pipeline.cli.terminal.text_tables import count, table
from pipeline.configuration import Settings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import AlreadyRunning, UsageError
from pipeline.exit_codes import ExitCode
from pipeline.market.calendar.periods import periods_between
from pipeline.operations.fetching import account
from pipeline.operations.inspection import health_check
from pipeline.operations.planning import (
    label_staleness,
    output_state,
    run_plan,
    run_preview,
    run_profiles,
)
from pipeline.operations.planning.run_request import Request
from pipeline.operations.runs import alert_sender, background_run, daily_update
from pipeline.run_state import output_lock
from pipeline.run_state.output_root import check_output
from pipeline.run_state.pid_file import PidFile

_PROFILES = (*run_profiles.SHIPPED, "merge", "custom")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``run``."""
    parser.description = (
        "production: every chunk from the first day on. incremental: the newest chunk. "
        "merge: the chunks that are there, with labels. custom: as a file of your own says. The "
        "exit code is that of luigi."
    )
    parser.add_argument("profile", choices=_PROFILES)
    parser.add_argument("--config", type=Path, metavar="FILE", help="with custom: a file like "
                        "pipeline/profiles/production.cfg")  # fmt: skip
    parser.add_argument("--start", type=options.day, help="first day, YYYY-MM-DD")
    parser.add_argument("--end", type=options.day, help="last day, YYYY-MM-DD (default today)")
    parser.add_argument("--background", action="store_true", help="detach; end it with g5 stop")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, write nothing")
    parser.add_argument(
        "--validate-schema", action="store_true",
        help="afterwards check every chunk on disk, also those the run had nothing to do with",
    )  # fmt: skip
    parser.add_argument("--pid-file", type=Path, help=argparse.SUPPRESS)  # see background_run
    options.add_running(parser)
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run, show the plan, or start in the background; returns the exit code.

    Raises:
        UsageError: flags, the file or a setting.
        AlreadyRunning: another run holds the output root; checked here only for the background.
    """
    if (args.config is not None) != (args.profile == "custom"):
        raise UsageError("--config: goes with custom, and custom with it", "g5 run --help")
    settings = _use(args)
    if args.dry_run:
        return _merge_plan(args, settings) if args.profile == "merge" else _plan(args, settings)
    request = None if args.profile == "merge" else _request(args, settings)
    account.keep(settings)  # in case the request had to ask for it
    if args.background:
        return _in_background(args, settings, request)
    return _in_foreground(args, settings, request)


def _use(args: argparse.Namespace) -> Settings:
    """The settings, with those of the profile."""
    if args.profile != "merge":
        run_profiles.use(args.config or run_profiles.shipped(args.profile), tasks.all_tasks())
    return options.settings_of(args)


def _words(args: argparse.Namespace, request: Request | None) -> list[str]:
    """The task and its parameters."""
    if request is not None:
        return ["BuildAll", "--start", str(request.start), "--end", str(request.end)]
    days = [("--start", args.start), ("--end", args.end)]
    return ["BuildLabels", *(word for name, day in days if day for word in (name, str(day)))]


def _request(args: argparse.Namespace, settings: Settings) -> Request:
    """The request with its days, from the command line, the files, or the calendar.

    Raises:
        UsageError: there is no first day.
    """
    request = run_profiles.request(tasks.BuildAll)
    start = args.start or request.start
    end: dt.date = args.end or request.end or configuration.now().date()
    if start is None and request.latest_only:
        settings = account.settled(settings, noted=False)
        published = run_plan.last_published(settings, daily_update.calendar_of_today(settings))
        newest = daily_update.newest_chunk(min(published, end), request.chunk_months)
        start, end = newest.start, newest.end
    if start is None:
        raise UsageError(
            f"{args.profile}: no first day", "give --start, or start in [BuildAll] of the file"
        )
    return replace(request, start=start, end=end)


def _in_foreground(args: argparse.Namespace, settings: Settings, request: Request | None) -> int:
    file = PidFile(args.pid_file) if args.pid_file else None
    if file is not None:
        file.claim()
    title = f"run {args.profile}"
    screen = screen_of(args, settings, title, request)
    problem = None
    try:
        code = options.runner_of(args, screen.watch).run(_words(args, request))
        if code == 0 and args.validate_schema:
            problem = _validate(settings, quiet=args.json)
            code = ExitCode.FINDINGS if problem else ExitCode.DONE
    finally:
        if file is not None:
            file.release(os.getpid())
    screen.close(code, problem)
    alert_sender.run_ended(settings.data_output_dir, title, code, problem)
    return code


def _validate(settings: Settings, *, quiet: bool) -> str | None:
    """Problems of the chunks on disk in one line; None without any."""
    found = [str(finding) for finding in health_check.schema(health_check.Question(settings))]
    for finding in found:
        sys.stderr.write(f"{finding}\n")
    if not found and not quiet:
        print(f"schema: {len(ChunkStore(settings.data_output_dir).ids())} chunks agree", flush=True)
    return "; ".join(found) or None


def _in_background(args: argparse.Namespace, settings: Settings, request: Request | None) -> int:
    if request is not None:
        assert request.start is not None  # as _request found
        assert request.end is not None
        run_plan.check_request(request.start, request.end, settings)
    root = settings.data_output_dir
    check_output(root)
    holder = output_lock.holder(root)
    if holder is not None:
        raise AlreadyRunning(
            f"another run (pid {holder}) is writing to {root}", "wait for it, or stop it"
        )
    words = [word for word in args.words if not _is_background_flag(word)]
    started = background_run.start(root, args.profile, words)
    if started.code is not None:
        sys.stderr.write(started.log.read_text("utf-8", errors="replace"))
        return started.code
    print(f"{args.profile}: running in the background, pid {started.pid}")
    print(f"log  {started.log}")
    print(f"stop g5 stop {args.profile}")
    return ExitCode.DONE


def _is_background_flag(word: str) -> bool:
    """Whether it is ``--background`` or an abbreviation that argparse accepts."""
    return word.startswith("--b") and "--background".startswith(word)


def _plan(args: argparse.Namespace, settings: Settings) -> int:
    with options.checking():
        request = _request(args, settings)
        assert request.start is not None  # as _request found
        assert request.end is not None
        found = run_preview.plan_of(
            settings,
            request.start,
            request.end,
            chunk_months=request.chunk_months,
            resume=request.resume,
            force=request.force,
            latest_only=request.latest_only,
            refresh_listed=request.refresh_listed,
        )
    plan.show(found, as_json=False)
    return found.exit_code


def _merge_plan(args: argparse.Namespace, settings: Settings) -> int:
    """What a merge of the chunks on disk would do."""
    if (args.start is None) != (args.end is None):
        raise UsageError("one of --start and --end is missing", "give both, or neither")
    root = settings.data_output_dir
    with options.checking():
        store = ChunkStore(root)
        chunk_ids = store.ids()
        if args.start is not None:
            periods = periods_between(
                args.start, args.end, run_profiles.request(tasks.BuildAll).chunk_months
            )
            chunk_ids = [period.chunk_id for period in periods]
        builds = output_state.builds(store, chunk_ids)
        gate, merge = output_state.gate_due(root, builds), output_state.merge_due(root, builds)
        calendar = label_staleness.cached_calendar(root, settings.origin)
        known = label_staleness.known_ahead(store, settings.origin, calendar)
        labels = label_staleness.labels_due(root, builds, known)
    print("\n".join(_merge_lines(store, chunk_ids)))
    for step, due in (("gate", gate), ("merge", merge), ("labels", labels)):
        print(f"{step:6} {due or 'up to date'}")
    return ExitCode.WORK_TO_DO if gate or merge or labels else ExitCode.DONE


def _merge_lines(store: ChunkStore, chunk_ids: list[str]) -> Iterator[str]:
    rows = [["CHUNK", "STATE", "ROWS"]]
    for chunk_id in chunk_ids:
        status = store.status(chunk_id)
        state = status["state"] if status else "not there, or unreadable: the merge is refused"
        rows.append([chunk_id, state, count(status["rows"] if status else None)])
    yield from table(rows, right={2})
