"""``g5 runs``: the runs of an output root, and what each of them did."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Iterator

from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import age, count, duration, plural, size, table
from pipeline.dataset.chunk_store import utc_now
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.document_types import RunChunk, RunDocument
from pipeline.run_state.history import RunHistory

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``runs``."""
    parser.description = (
        "Every run that locked the output root, the newest first; g5 runs show ID "
        "prints everything about one. A killed run is shown by what it left."
    )
    parser.add_argument("what", nargs="?", choices=("list", "show"), default="list")
    parser.add_argument("run_id", nargs="?", metavar="ID", help="with show: or its beginning")
    parser.add_argument(
        "--last", type=options.whole(1, 500), default=_SHOWN, metavar="N",
        help=f"how many are listed (default {_SHOWN})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="JSON on one line")
    options.add_output(parser)
    parser.set_defaults(run=run, error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print the list or the record; returns 0.

    Raises:
        MissingData, UsageError: no run, or several, begin with this id.
        StorageError: the history cannot be read.
    """
    if (args.what == "show") != (args.run_id is not None):
        args.error("show goes with the ID of a run, and an ID with show")
    history = RunHistory(options.settings_of(args).data_output_dir)
    if args.what == "show":
        record = history.find(args.run_id)
        print(json.dumps(record) if args.json else "\n".join(details(record)))
        return ExitCode.DONE
    records = history.records(args.last)
    if args.json:
        print(json.dumps(records))
    elif records:
        print("\n".join(lines(records, utc_now())))
    else:
        print(f"no run is recorded in {history.folder}")
    return ExitCode.DONE


def lines(records: list[RunDocument], now: dt.datetime) -> Iterator[str]:
    """The list for people.

    Args:
        now: ages are counted up to this moment.
    """
    rows = [["RUN", "AGO", "WHAT", "OUTCOME", "TOOK", "CHUNKS", "ROWS", "REQUESTS", "MEMORY"]]
    for record in records:
        built = [c for c in record["chunks"] if c["state"] == "completed"]
        rows.append(
            [
                record["run_id"],
                age(_began(record), now),
                _what(record),
                record["outcome"],
                _took(record),
                count(len(built)),
                count(sum(chunk["rows"] or 0 for chunk in built)),
                count(sum(record["requests"].values())),
                size(record["peak_rss_bytes"]),
            ]
        )
    yield from table(rows, right={1, 4, 5, 6, 7, 8})


def details(record: RunDocument) -> Iterator[str]:
    """A record for people."""
    code = record["exit_code"]
    ended = "" if code is None else f", exit code {code}"
    yield f"run        {record['run_id']}: {_what(record)}"
    yield f"outcome    {record['outcome']}{ended}"
    if record["error"]:
        yield f"error      {record['error']}"
    yield f"began      {record['started_at']}, took {_took(record)}"
    peak = size(record["peak_rss_bytes"])
    yield f"on         {record['host']}, pid {record['pid']}, at most {peak} of memory"
    yield f"code       {record['code_version']}; origin {record['origin']}"
    for name in ("parameters", "settings"):
        yield f"{name:10} {' '.join(f'{k}={v}' for k, v in record[name].items()) or '-'}"
    sent = ", ".join(f"{source} {number:,}" for source, number in record["requests"].items())
    yield f"requests   {sent or 'none'}"
    for name, output in record["outputs"].items():
        if output:
            yield f"{name.removeprefix('dataset_'):10} {output}"
    yield f"inputs     {plural(len(record['inputs']), 'snapshot')}"
    yield from (f"           {key}" for key in record["inputs"])
    if record["chunks"]:
        yield ""
        yield from table(
            [["CHUNK", "STATE", "ROWS", "TOOK", "SIZE"], *map(_chunk, record["chunks"])],
            right={2, 3, 4},
        )
    if record["steps"]:
        yield ""
        steps = [[s["name"], f"{s['seconds']:.1f} s", s["error"] or ""] for s in record["steps"]]
        yield from table([["STEP", "TOOK", "ERROR"], *steps], right={1})


def _chunk(chunk: RunChunk) -> list[str]:
    took = "-" if chunk["seconds"] is None else duration(chunk["seconds"])
    return [chunk["chunk_id"], chunk["state"], count(chunk["rows"]), took, size(chunk["bytes"])]


def _what(record: RunDocument) -> str:
    """The profile, or the task and the days it was asked for."""
    parameters = record["parameters"]
    days = [parameters[name] for name in ("start", "end") if parameters.get(name, "none") != "none"]
    asked = f"{record['profile'] or record['task']} {' to '.join(days)}"
    return asked.strip()


def _took(record: RunDocument) -> str:
    if record["finished_at"] is None:
        return "-"
    return duration((_moment(record["finished_at"]) - _began(record)).total_seconds())


def _began(record: RunDocument) -> dt.datetime:
    return _moment(record["started_at"])


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
