"""Shows runs: a live display on a terminal, plain lines elsewhere, one JSON document for programs.

Only the process a person started draws. On a terminal it shows warnings and errors of the run above
the display; the rest is in the log. Elsewhere it copies the output of the run unchanged to its own
standard error and adds a closing line.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.cli.terminal import display
from pipeline.cli.terminal.text_tables import count, duration, plural, size
from pipeline.configuration import Settings
from pipeline.dataset.publication import DatasetStore
from pipeline.errors import PipelineError
from pipeline.filesystem.document_types import RunDocument
from pipeline.filesystem.location import on_host
from pipeline.operations.planning.run_request import Request
from pipeline.operations.runs.luigi_command import configured_scheduler
from pipeline.operations.runs.run_watch import Watcher
from pipeline.process import log_setup
from pipeline.run_state import output_lock
from pipeline.run_state.history import RunHistory

_EVERY_S = 1.0
_CLOSE_S = 2.0  # for the last lines of a run that has ended
_EVENT = re.compile(r"\d\d:\d\d:\d\d ")
_GRAVE = re.compile(r"\d\d:\d\d:\d\d (warning|error|critical): ")


def wanted(stream: IO[str]) -> bool:
    """True for a terminal that can be drawn on."""
    return stream.isatty() and not Console(file=stream).is_dumb_terminal


def show_status(settings: Settings, lines: Callable[[], Iterable[str]], every_s: float) -> None:
    """Show the state of the output root and the running run until interrupted.

    Args:
        lines: the state, for people.
    """
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, redirect_stderr=False) as live:
        while True:
            parts: list[RenderableType] = [Text("\n".join(lines()), no_wrap=True)]
            current = _current_run(settings)
            if current is not None:
                watcher, pid = current
                facts = watcher.look(pid, time.time())
                parts += [Text(), display.running(facts, console.height)]
            live.update(Group(*parts), refresh=True)
            time.sleep(every_s)


def screen_of(
    args: argparse.Namespace, settings: Settings, title: str, request: Request | None = None
) -> Screen:
    """The screen of a command."""
    watcher = Watcher(
        settings,
        title,
        log_setup.run_id(),
        time.time(),
        request,
        args.workers or 1,
        args.scheduler_url or configured_scheduler(),
    )
    return Screen(watcher, as_json=args.json)


@dataclass
class Screen:
    """How the runs of one command are shown.

    Args:
        as_json: one document at the end, and nothing else, on standard output.
    """

    watcher: Watcher
    as_json: bool
    warnings: list[str] = field(default_factory=list)
    last_line: str = ""

    @cached_property
    def live(self) -> bool:
        return not self.as_json and wanted(sys.stdout)

    def watch(self, child: subprocess.Popen[str]) -> None:
        """Show a run until it ends.

        Args:
            child: its main process, whose standard output and error are one pipe.
        """
        assert child.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
        reader.start()
        if self.live:
            self._draw(child, lines)
        else:
            while child.poll() is None:
                self._pass_on(lines, wait_s=_EVERY_S)
        reader.join(_CLOSE_S)
        self._pass_on(lines)

    def close(self, code: int, problem: str | None = None, *, line: bool = True) -> None:
        """Show the result.

        Args:
            code: exit code of the command.
            problem: in one line, if the command found one after its runs.
            line: print it also without a terminal; False for a command with its own line.
        """
        record = self.watcher.record()
        if self.as_json:
            print(json.dumps(self.to_json(record, code, problem), ensure_ascii=False))
        elif self.live and record is not None:
            self._summary(record)
        elif record is not None and line:
            print(self.closing_line(record), file=sys.stderr)

    def to_json(
        self, record: RunDocument | None, code: int, problem: str | None = None
    ) -> dict[str, Any]:
        """All facts for programs: the record of the run, its warnings, and paths."""
        return {
            "title": self.watcher.title,
            "exit_code": code,
            "problem": problem,
            "seconds": round(time.time() - self.watcher.began, 3),
            "warnings": self.warnings,
            "run": record,
            **self._places(),
        }

    def closing_line(self, record: RunDocument) -> str:
        """A run in one line."""
        built = [c for c in record["chunks"] if c["state"] == "completed"]
        rows = sum(chunk["rows"] or 0 for chunk in built)
        what = f"{plural(len(built), 'chunk')}, {count(rows)} rows, " if built else ""
        warned = f"{plural(len(self.warnings), 'warning')}, " if self.warnings else ""
        took = duration(time.time() - self.watcher.began)
        return (
            f"{self.watcher.title}: {record['outcome']} in {took}: "
            f"{what}{warned}g5 runs show {record['run_id']}"
        )

    def _draw(self, child: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
        console = Console(highlight=False)
        with Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False,
        ) as live:  # fmt: skip
            while child.poll() is None:
                with suppress(PipelineError, OSError):  # what cannot be read is shown later
                    facts = replace(
                        self.watcher.look(child.pid, time.time()),
                        warnings=tuple(self.warnings),
                        last_line=self.last_line,
                    )
                    live.update(display.running(facts, console.height), refresh=True)
                self._pass_on(lines, _EVERY_S, live.console)

    def _pass_on(
        self, lines: queue.SimpleQueue[str], wait_s: float = 0.0, console: Console | None = None
    ) -> None:
        """Show the output of the run for this long."""
        until = time.monotonic() + wait_s
        while True:
            left = until - time.monotonic()
            try:
                line = lines.get(timeout=left) if left > 0 else lines.get_nowait()
            except queue.Empty:
                return
            self._show_line(line, console)

    def _show_line(self, line: str, console: Console | None) -> None:
        grave = _GRAVE.match(line)
        self.last_line = line
        if grave and grave[1] == "warning":  # the record has the error
            self.warnings.append(_EVENT.sub("", line, count=1))
        if not self.live or not sys.stderr.isatty():
            with suppress(OSError):  # nobody reads it any more
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        elif grave or not _EVENT.match(line):
            style = "red" if not grave or grave[1] != "warning" else "yellow"
            (console or Console(highlight=False)).print(Text(line, style=style), soft_wrap=True)

    def _summary(self, record: RunDocument) -> None:
        console = Console(highlight=False)
        good = record["outcome"] in ("done", "nothing")
        console.print(Text(self.closing_line(record), style="bold" if good else "bold red"))
        for part in (display.chunks_of(record), display.steps_of(record)):
            if part is not None:
                console.print()
                console.print(part)
        console.print()
        for line in self.warnings:
            console.print(Text(line, style="yellow"), soft_wrap=True)
        if record["error"]:
            console.print(Text(f"error     {record['error']}", style="red"), soft_wrap=True)
        for name, what in self.place_lines():
            console.print(Text(f"{name:9} {what}"), soft_wrap=True)

    def place_lines(self) -> list[tuple[str, str]]:
        """Paths of the outputs and how to read them, for people."""
        places = self._places()
        lines = []
        dataset = places["dataset"]
        if dataset is not None:
            held = f"{count(dataset['rows'])} rows, {size(dataset['bytes'])}"
            days = f"{dataset['first']} to {dataset['last']}"
            lines.append(("dataset", f"{dataset['path']}, {held}, {days}"))
        lines += [(name, places[name]) for name in ("labels", "report", "log") if places[name]]
        if dataset is not None:
            lines.append(("read it", f"pandas.read_parquet({dataset['path']!r}, columns=[...])"))
        return lines

    def _places(self) -> dict[str, Any]:
        root = self.watcher.settings.data_output_dir
        files = {
            "labels": root / "labels" / "labels.json",
            "report": root / "reports" / "latest.html",
            "log": on_host(root) / "logs" / "g5.log",
        }
        there = {name: str(path) if path.exists() else None for name, path in files.items()}
        return {"dataset": _dataset(root), **there}


def _current_run(settings: Settings) -> tuple[Watcher, int] | None:
    """The running run and its main process; None without one."""
    root = settings.data_output_dir
    pid = output_lock.holder(root)
    if pid is None:
        return None
    for record in RunHistory(root).records():
        if record["outcome"] == "running" and record["pid"] == pid:
            began = dt.datetime.fromisoformat(record["started_at"]).timestamp()
            title = f"{record['profile'] or record['task']}"
            return Watcher(settings, title, record["run_id"], began), pid
    return None


def _dataset(root: Path) -> dict[str, Any] | None:
    try:
        latest = DatasetStore(root).latest()
        held = latest.path.stat().st_size if latest is not None else 0
    except (PipelineError, OSError):
        return None
    if latest is None:
        return None
    facts = latest.metadata
    return {
        "path": str(root / "ml_dataset_latest_full.parquet"),
        "rows": facts["rows"],
        "first": facts["output_start"],
        "last": facts["output_end"],
        "bytes": held,
    }


def _read(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    with suppress(ValueError):  # closed at the end
        for line in stream:
            lines.put(line.rstrip("\n"))
