"""A run on a terminal: facts in, renderables of rich out. Pure, to be tested without a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.terminal.text_tables import count, duration, plural, size
from pipeline.filesystem.document_types import RunDocument
from pipeline.operations.runs.run_watch import COMPLETE, WAITING, ChunkFact, RunFacts, StepFact

_BAR = 10  # characters
_FRAME = 9  # other lines of the display than table rows
_LEAST = 4  # rows of chunks on the lowest terminal

_STYLES = {
    "building": "bold cyan",
    "completed": "green",
    COMPLETE: "dim",
    WAITING: "dim",
    "failed": "bold red",
    "failed_schema_mismatch": "bold red",
    "running": "bold cyan",
    "done": "green",
}
_NAMES = {
    "ValidateSchema": "schema gate",
    "MergeChunks": "merge",
    "BuildLabels": "labels",
    "BuildReport": "report",
}


def running(facts: RunFacts, height: int) -> RenderableType:
    """The live display.

    Args:
        height: of the terminal, in lines; chunks that do not fit are summed up.
    """
    parts: list[RenderableType] = list(_heading(facts))
    current = [step for step in facts.steps if step.running]
    room = max(height - _FRAME - len(current), _LEAST)
    if facts.chunks:
        parts += [Text(), _chunk_table(_in_few_rows(facts.chunks, room))]
    if current:
        parts += [Text(), _current(current)]
    if facts.last_line:
        parts += [Text(), Text(facts.last_line, style="dim", no_wrap=True, overflow="ellipsis")]
    return Group(*parts)


def chunks_of(record: RunDocument) -> RenderableType | None:
    """The chunks that a run built, as a table; None without any."""
    rows = [(chunk["chunk_id"], ChunkFact(**chunk)) for chunk in record["chunks"]]
    return _chunk_table(rows, live=False) if rows else None


def steps_of(record: RunDocument) -> RenderableType | None:
    """The other steps with their durations, sources summed up; None without any."""
    table = _table("STEP", "TOOK", "")
    table.columns[1].justify = "right"
    named = [step for step in record["steps"] if step["name"].partition(" ")[0] != "BuildAll"]
    fetches = [s for s in named if s["name"].startswith("FetchSource ") and not s["error"]]
    if fetches:
        requests = sum(record["requests"].values())
        table.add_row(
            f"fetch {plural(len(fetches), 'source')}",
            duration(sum(step["seconds"] for step in fetches)),
            Text(plural(requests, "request"), style="dim"),
        )
    for step in named:
        if step in fetches or (step["name"].startswith("BuildChunk ") and not step["error"]):
            continue
        error = Text(step["error"] or "", style="red", overflow="fold")
        table.add_row(step_name(step["name"]), duration(step["seconds"]), error)
    return table if table.row_count else None


def step_name(name: str) -> str:
    """A task in words: ``fetch index option`` for ``FetchSource index_option``."""
    family, _, which = name.partition(" ")
    if family == "FetchSource":
        return f"fetch {which.replace('_', ' ')}"
    if family == "BuildChunk":
        return f"chunk {which}"
    return _NAMES.get(family, name)


def _heading(facts: RunFacts) -> Iterator[Text]:
    run = f" · run {facts.run_id}" if facts.run_id else ""
    left = "" if facts.left_s is None else f" · about {duration(facts.left_s)} left"
    first = Text(f"g5 {facts.title}", style="bold", no_wrap=True, overflow="ellipsis")
    first.append(f"{run} · {duration(facts.seconds)}{left}", style="not bold")
    yield first
    notes = [f"memory {size(facts.memory)}"] if facts.memory is not None else []
    if facts.run_id is None:
        notes.append("starting")
    if facts.warnings:
        notes.append(plural(len(facts.warnings), "warning"))
    if facts.waiting is not None:
        notes.append(f"{plural(facts.waiting, 'task')} waiting")
    over = [step for step in facts.steps if not step.running]
    fetched = [step for step in over if step.name.startswith("FetchSource ") and not step.error]
    if fetched:
        notes.append(f"{plural(len(fetched), 'source')} fetched")
    notes += [
        f"{step_name(s.name)} {'failed' if s.error else 'done'}" for s in over if s not in fetched
    ]
    yield Text(" · ".join(notes), style="dim", no_wrap=True, overflow="ellipsis")
    if facts.page:
        yield Text(f"page {facts.page}", style="dim", no_wrap=True, overflow="ellipsis")


def _in_few_rows(chunks: Sequence[ChunkFact], room: int) -> list[tuple[str, ChunkFact]]:
    """Labelled rows: each chunk, or neighbours without activity as one row if room is short."""
    if len(chunks) <= room:
        return [(chunk.chunk_id, chunk) for chunk in chunks]
    groups: list[list[ChunkFact]] = []
    for chunk in chunks:
        quiet = chunk.state in (WAITING, COMPLETE, "completed")
        if quiet and groups and groups[-1][0].state == chunk.state:
            groups[-1].append(chunk)
        else:
            groups.append([chunk])
    return [_summed(group) for group in groups][-room:]


def _summed(group: list[ChunkFact]) -> tuple[str, ChunkFact]:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first.chunk_id, first
    label = f"{first.chunk_id} … {last.chunk_id} ({len(group)})"
    return label, ChunkFact(
        chunk_id=label,
        state=first.state,
        rows=_sum(chunk.rows for chunk in group),
        seconds=_sum(chunk.seconds for chunk in group),
        bytes=_sum(chunk.bytes for chunk in group),
    )


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _chunk_table(rows: Sequence[tuple[str, ChunkFact]], *, live: bool = True) -> Table:
    headings = ["CHUNK", "STATE", *(["PROGRESS"] if live else []), "ROWS", "ROWS/S", "SIZE", "TOOK"]
    table = _table(*headings)
    for column in table.columns[-4:]:
        column.justify = "right"
    for label, chunk in rows:
        state = chunk.state.replace("_", " ")
        cells: list[RenderableType] = [label, Text(state, style=_STYLES.get(chunk.state, ""))]
        if live:
            cells.append(_bar(chunk.done, chunk.total, steps=True))
        took = "" if chunk.seconds is None else duration(chunk.seconds)
        speed = chunk.rows / chunk.seconds if chunk.rows and chunk.seconds else None
        rate = "" if speed is None or chunk.state == COMPLETE else f"{speed:,.0f}"
        held = "" if chunk.bytes is None else size(chunk.bytes)
        rows_ = "" if chunk.rows is None else count(chunk.rows)
        table.add_row(*cells, rows_, rate, held, took)
    return table


def _current(steps: Sequence[StepFact]) -> Table:
    table = _table("STEP", "PROGRESS", "DONE", "SPEED", "LEFT")
    for column in table.columns[2:]:
        column.justify = "right"
    for step in steps:
        rate = step.done / step.seconds if step.done and step.seconds > 0 else 0.0
        left = duration((step.total - step.done) / rate) if rate else ""
        table.add_row(
            Text(step_name(step.name), style=_STYLES["running"]),
            _bar(step.done, step.total),
            f"{step.done:,} of {step.total:,} {step.unit}",
            f"{rate:,.1f} {step.unit}/s" if rate else "",
            left,
        )
    return table


def _bar(done: int, total: int, *, steps: bool = False) -> Text:
    if not total:
        return Text()
    filled = min(_BAR * done // total, _BAR)
    bar = Text("█" * filled, style="cyan")
    bar.append("░" * (_BAR - filled), style="dim")
    bar.append(f" {done}/{total}" if steps else f" {100 * done // total} %", style="not dim")
    return bar


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "", overflow="ellipsis")
    return table
