"""``g5 status``: what stands where."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import age, count, plural, size, table
from pipeline.dataset.chunk_store import utc_now
from pipeline.operations.planning import output_state
from pipeline.operations.planning.output_state import ChunkState, Standing

_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``status``."""
    parser.description = (
        "Exit code 0: all is complete; 3: there is work to do; 2: cannot check. "
        "What was published since is not asked: see g5 plan."
    )
    parser.add_argument("--watch", action="store_true", help="again and again, until interrupted")
    parser.add_argument(
        "--every", type=options.number(0.1, 86400), default=_EVERY_S, metavar="SECONDS",
        help=f"with --watch (default {_EVERY_S:g})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON document on one line")
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the state; returns 0 when there is nothing to do, else 3.

    Raises:
        UsageError: it cannot be checked.
    """
    with options.checking():
        settings = options.settings_of(args)
        root = settings.data_output_dir
        found = output_state.standing_of(root)
        if args.watch and not args.json and sys.stdout.isatty():
            from pipeline.cli.terminal.screen import show_status  # rich is for terminals

            show_status(
                settings, lambda: lines(output_state.standing_of(root), utc_now()), args.every
            )
        while args.watch:
            _show(found, as_json=args.json)
            time.sleep(args.every)
            found = output_state.standing_of(root)
    _show(found, as_json=args.json)
    return found.exit_code


def to_json(found: Standing) -> dict[str, Any]:
    """The state with all its facts."""
    dataset, run = found.dataset, found.run
    return {
        "output": str(found.root),
        "chunks": [_chunk(chunk) for chunk in found.chunks],
        "gate": found.gate,
        "merge": found.merge,
        "labels": found.labels,
        "corrected": list(found.corrected),
        "dataset": None
        if dataset is None
        else {
            "path": str(dataset.path),
            "rows": dataset.metadata["rows"],
            "first": dataset.metadata["output_start"],
            "last": dataset.metadata["output_end"],
            "merged_at": dataset.metadata["generated_at"],
            "schema_hash": dataset.metadata["feature_schema_hash"],
            "bytes": dataset.path.stat().st_size,
        },
        "run": None
        if run is None
        else {
            "run_id": run.run_id,
            "began": run.began.isoformat(),
            "chunks": dict(run.chunks),
        },
        "writing_pid": found.pid,
        "exit_code": found.exit_code,
    }


def lines(found: Standing, now: dt.datetime) -> Iterator[str]:
    """The state for people.

    Args:
        now: ages are counted up to this moment.
    """
    rows = [["CHUNK", "STATE", "ROWS", "FIRST", "LAST", "AGE", "SCHEMA", "SIZE", "NOT COMPLETE"]]
    rows += [_row(chunk, now) for chunk in found.chunks]
    yield from table(rows, right={2, 5, 7})
    yield ""
    origins = Counter(chunk.origin for chunk in found.chunks if chunk.origin is not None)
    yield f"root     {found.root}; origin {', '.join(sorted(origins)) or 'unknown'}"
    yield f"gate     {'due: ' + found.gate if found.gate else 'passed, for these very builds'}"
    yield f"dataset  {_dataset(found, now)}"
    yield f"labels   {'due: ' + found.labels if found.labels else 'for these very builds'}"
    yield f"run      {_run(found, now)}"
    if found.corrected:
        yield f"corrected {', '.join(found.corrected)}: rows lack corrections, g5 cache corrections"
    due = sum(chunk.reason is not None for chunk in found.chunks)
    total = plural(len(found.chunks), "chunk")
    if not found.exit_code:
        yield f"nothing to do: {total} complete, validated, merged and labelled"
    elif due:
        yield f"work to do: {due} of {total} not complete"
    else:
        yield f"work to do: {total} complete, not all validated, merged and labelled"


def _show(found: Standing, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(to_json(found)), flush=True)
    else:
        print("\n".join(lines(found, utc_now())), flush=True)


def _chunk(chunk: ChunkState) -> dict[str, Any]:
    return {
        "chunk_id": chunk.chunk_id,
        "state": chunk.state,
        "complete": chunk.reason is None,
        "reason": chunk.reason,
        "origin": chunk.origin,
        "rows": chunk.rows,
        "first": chunk.first,
        "last": chunk.last,
        "built": chunk.built.isoformat() if chunk.built else None,
        "schema_hash": chunk.schema_hash,
        "bytes": chunk.bytes,
    }


def _row(chunk: ChunkState, now: dt.datetime) -> list[str]:
    return [
        chunk.chunk_id,
        chunk.state,
        count(chunk.rows),
        chunk.first or "-",
        chunk.last or "-",
        age(chunk.built, now),
        (chunk.schema_hash or "-")[:8],
        size(chunk.bytes),
        chunk.reason or "",
    ]


def _dataset(found: Standing, now: dt.datetime) -> str:
    due = f"due: {found.merge}" if found.merge else ""
    if found.dataset is None:
        return due
    facts = found.dataset.metadata
    merged = age(dt.datetime.fromisoformat(facts["generated_at"]), now)
    what = (
        f"{found.dataset.path.name}, {count(facts['rows'])} rows, {facts['output_start']} to "
        f"{facts['output_end']}, {size(found.dataset.path.stat().st_size)}, {merged} old"
    )
    return f"{due} ({what})" if due else what


def _run(found: Standing, now: dt.datetime) -> str:
    writing = f"; pid {found.pid} is writing now" if found.pid is not None else "; none goes on"
    if found.run is None:
        return f"unknown{writing}"
    states = ", ".join(f"{number} {state}" for state, number in sorted(found.run.chunks.items()))
    began = age(found.run.began, now)
    return f"{found.run.run_id} began to build {began} ago: {states}{writing}"
