"""``g5 rebuild``: ask that chunks be built once more, whatever their state."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import plural
from pipeline.dataset import rebuild_requests
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.errors import UsageError
from pipeline.exit_codes import ExitCode
from pipeline.market.calendar.periods import require_order
from pipeline.operations.planning import forced_rebuild, run_plan, waiting_corrections


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``rebuild``."""
    parser.description = (
        "Leaves a request beside each chunk. The next run that covers it builds it "
        "anew; until then the present one stays readable. A run that dies finishes later."
    )
    parser.add_argument("chunks", nargs="*", metavar="CHUNK", help="such as 2020Q1")
    parser.add_argument("--start", type=options.day, help="all that touch the days from here")
    parser.add_argument("--end", type=options.day, help="to here, YYYY-MM-DD, both included")
    parser.add_argument("--latest-only", action="store_true", help="the newest chunk")
    parser.add_argument(
        "--corrected", action="store_true",
        help="those whose rows lack a correction found in a closed month: g5 cache corrections",
    )  # fmt: skip
    parser.add_argument(
        "--cancel", action="store_true",
        help="take back requests that no build has answered (without chunks: all of them)",
    )  # fmt: skip
    parser.add_argument("--reason", default="g5 rebuild", help="kept with the request")
    options.add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Request, or take back, and say for which chunks; returns 0.

    Raises:
        UsageError: the chunks are not named in exactly one way.
        MissingData: there is no such chunk.
        AlreadyRunning: a run is writing to this output root.
        StorageError: the file system refused.
    """
    _require_one_way(args)
    settings = options.settings_of(args)
    store = ChunkStore(settings.data_output_dir)
    if args.corrected:
        args.chunks = list(waiting_corrections.waiting(settings.data_output_dir, settings.origin))
        if not args.chunks:
            print("no correction waits to be taken in: g5 cache corrections shows what is known")
            return ExitCode.DONE
    days = (args.start, args.end) if args.start else None
    chunk_ids = forced_rebuild.chosen(store, args.chunks, days=days, latest_only=args.latest_only)
    # A request under a build's feet would make its task end without being complete.
    run_plan.hold_output(store.folder.parent)
    if args.cancel:
        _cancel(store, chunk_ids)
    else:
        _request(store, chunk_ids, args.reason)
    return ExitCode.DONE


def _require_one_way(args: argparse.Namespace) -> None:
    if (args.start is None) != (args.end is None):
        raise UsageError("one of --start and --end is missing", "give both")
    if args.start:
        require_order(args.start, args.end)
    ways = [bool(args.chunks), args.start is not None, args.latest_only, args.corrected]
    each = "give chunk ids, or --start and --end, or --latest-only, or --corrected"
    if sum(ways) > 1:
        raise UsageError("chunks are named in two ways", each)
    if not any(ways) and not args.cancel:
        raise UsageError("no chunk is named", each)


def _request(store: ChunkStore, chunk_ids: Sequence[str], reason: str) -> None:
    requests = store.request_rebuild(chunk_ids, reason)
    for chunk_id, request in requests.items():
        status = store.status(chunk_id)
        state = status["state"] if status else "without a status"
        print(f"{chunk_id}  rebuild requested ({request[:8]}), now {state}")
    print(f"{plural(len(requests), 'chunk')}: the next run that covers them builds them anew")


def _cancel(store: ChunkStore, chunk_ids: Sequence[str]) -> None:
    withdrawn = rebuild_requests.withdraw(store, chunk_ids)
    for chunk_id in withdrawn:
        print(f"{chunk_id}  request taken back")
    if not withdrawn:
        print("no request to take back: none is pending")
