"""``g5 cache``: what is in the source cache, what was corrected, and how to make it smaller."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import configuration
from pipeline.cache import pruning
from pipeline.cache.corrections import Found
from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import plural, size, table
from pipeline.errors import MissingData
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import on_host, relative
from pipeline.operations.fetching import closed_months
from pipeline.operations.planning import run_plan, waiting_corrections

_OLD_DAYS = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``cache``."""
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="snapshots with sizes and ages")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="one snapshot and its parts")
    show.add_argument("key", help="as in g5 cache list")
    show.set_defaults(run=run_show)
    fixed = actions.add_parser(
        "corrections", help="what the vendor changed in closed months, and the chunks it touches"
    )
    fixed.add_argument(
        "--accept", action="store_true",
        help="leave existing rows as they are and name these corrections no more",
    )  # fmt: skip
    fixed.set_defaults(run=run_corrections)
    prune = actions.add_parser("prune", help="remove old snapshots, and what only they needed")
    prune.add_argument(
        "--older-than-days",
        type=options.whole(0, 36500),
        default=_OLD_DAYS,
        help=f"what was checked, received or used since stays (default {_OLD_DAYS})",
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    prune.set_defaults(run=run_prune)
    for action in (listing, show, fixed, prune):
        options.add_output(action)


def run_list(args: argparse.Namespace) -> int:
    """Print every snapshot and the size of every source; returns 0.

    Raises:
        MissingData: there is no cache.
    """
    cache = _cache(args)
    rows = [["SNAPSHOT", "ORIGIN", "ROUTE", "PARTS", "ROWS", "SIZE", "CHECKED"]]
    rows += [_snapshot(document) for document in pruning.snapshots(cache)]
    print("\n".join(table(rows, right={3, 4, 5, 6})))
    sizes = {source: pruning.parts_bytes(cache, source) for source in pruning.sources(cache)}
    print()
    rows = [["SOURCE", "ON DISK"], *([s, size(n)] for s, n in sizes.items())]
    print("\n".join(table(rows, right={1})))
    print(f"{cache}: {size(sum(sizes.values()))}; snapshots share their parts")
    return ExitCode.DONE


def run_show(args: argparse.Namespace) -> int:
    """Print one snapshot; returns 0.

    Raises:
        UsageError, MissingData, StorageError: no such key, or it is damaged.
    """
    document = pruning.find(_cache(args), args.key)
    names = ("key", "origin", "route", "start", "end", "asof", "tag", "rows", "sha256")
    for name in names:
        print(f"{name:14}{'-' if document[name] is None else document[name]}")
    for name in ("fetched_at", "checked_at"):
        print(f"{name:14}{document[name]} ({_age(document[name])})")
    print(f"{'client':14}{document['client_version']}")
    print()
    rows = [["PERIOD", "DAYS", "ROWS", "SIZE", "ROUTE", "FIRST SEEN", "AGE", "FILE"]]
    rows += [_part(part) for part in document["parts"]]
    print("\n".join(table(rows, right={1, 2, 3, 6})))
    return ExitCode.DONE


def run_corrections(args: argparse.Namespace) -> int:
    """Print the corrections of closed months and the chunks whose rows lack them; returns 0.

    Raises:
        MissingData: there is no cache.
        AlreadyRunning: with ``--accept``, a run is writing to this output root.
        StorageError: the ledger or a document of a chunk cannot be read.
    """
    root = _cache(args).parent
    settings = replace(configuration.settings(), data_output_dir=root)
    if args.accept:
        run_plan.hold_output(root)
        number = waiting_corrections.accept(root, settings.origin)
        print(f"{plural(number, 'correction')} accepted: existing rows stay as they are")
        return ExitCode.DONE
    known, touched = (
        waiting_corrections.found(root, settings.origin),
        waiting_corrections.waiting(root, settings.origin),
    )
    chunks: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for chunk_id, some in touched.items():
        for correction in some:
            chunks[correction.key].append(chunk_id)
    rows = [["SEEN", "SOURCE", "DAY", "ROWS", "ADDED", "REMOVED", "CHANGED", "FIRST", "NOT IN"]]
    rows += [_correction(correction, chunks[correction.key]) for correction in known]
    if known:
        print("\n".join(table(rows, right={3, 4, 5, 6})))
        print()
    print(waiting_corrections.summary(settings, touched) or "no correction waits to be taken in")
    print(closed_months.outlook(settings))
    return ExitCode.DONE


def run_prune(args: argparse.Namespace) -> int:
    """Remove old snapshots, parts that none lists and leftovers; returns 0.

    Raises:
        MissingData: there is no cache.
        AlreadyRunning: a run is writing to this output root.
        StorageError: something cannot be read, or a file cannot be deleted.
    """
    cache = _cache(args)
    if not args.dry_run:
        run_plan.hold_output(cache.parent)
    for path in pruning.damaged(cache):
        _warn(
            f"{_name(path, cache.parent)}: is damaged; it stays for its as-of day or tag, and so do"
            " all parts of its source, until you restore or delete it"
        )
    cutoff = configuration.stamp(dt.timedelta(days=args.older_than_days))
    if args.dry_run:
        items = [
            *pruning.removable(cache, cutoff),
            *pruning.superseded(cache.parent, cutoff),
        ]
    else:
        items = pruning.prune(cache.parent, cutoff)
    for item in items if args.dry_run else ():
        print(f"{item.kind:9}{size(item.bytes):>9}  {_name(item.path, cache.parent)}")
    counts = Counter(item.kind for item in items)
    what = ", ".join(f"{n} {kind} files" for kind, n in sorted(counts.items())) or "nothing"
    verb = "would remove" if args.dry_run else "removed"
    print(f"{verb} {what}: {size(sum(item.bytes for item in items))}")
    return ExitCode.DONE


def _warn(text: str) -> None:
    sys.stderr.write(f"g5 cache: warning: {text}\n")


def _cache(args: argparse.Namespace) -> Path:
    root = args.output or configuration.settings().data_output_dir
    cache: Path = root / "cache"
    if not cache.is_dir():
        raise MissingData(f"no cache in {root}", "give the output root with --output")
    return cache


def _name(path: Path, root: Path) -> str:
    """Below the output root, or its folder of this machine."""
    for folder in (root, on_host(root)):
        if str(path).startswith(str(folder)):
            return relative(path, folder).removeprefix("cache/")
    return str(path)


def _snapshot(document: Mapping[str, Any]) -> list[str]:
    return [
        document["key"],
        document["origin"],
        document["route"],
        str(len(document["parts"])),
        f"{document['rows']:,}",
        size(sum(part["bytes"] for part in document["parts"])),
        _age(document["checked_at"]),
    ]


def _correction(correction: Found, chunks: Sequence[str]) -> list[str]:
    numbers = (correction.rows, correction.added, correction.removed, correction.changed)
    untouched = "accepted" if correction.accepted else "-"
    return [
        correction.arrived[:16],
        correction.source,
        correction.date,
        *(f"{number:,}" for number in numbers),
        correction.example or "-",
        ", ".join(chunks) or untouched,
    ]


def _part(part: Mapping[str, Any]) -> list[str]:
    days = f"{len(part['dates'])}{'' if part['whole'] else ' of more'}"
    return [
        part["period"],
        days,
        f"{part['rows']:,}",
        size(part["bytes"]),
        part["route"],
        part["fetched_at"],
        _age(part["fetched_at"]),
        part["file"],
    ]


def _age(moment: str) -> str:
    then = dt.datetime.fromisoformat(moment).astimezone(configuration.JST).replace(tzinfo=None)
    hours = (configuration.now() - then).total_seconds() / 3600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
