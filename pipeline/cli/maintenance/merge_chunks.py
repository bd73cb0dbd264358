"""``g5 merge-chunks``: publish what is there as a dataset, without a Luigi run.

1. The chunks of the folder, or of some years of it.
2. Their sessions and stocks against calendar and listing, as far as the cache has them: a hole is
   refused, and what cannot be compared is said.
3. What else of them is fit, and what the flags make of the rest: refuse, leave out, or say so.
4. The merge itself, which refuses different schemas and origins whatever the flags say.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import pairwise

from pipeline import configuration
from pipeline.checks.coverage import Coverage
from pipeline.checks.schema_gate import OTHER_BYTES, Checks, Verdict, judge_all, unchecked
from pipeline.cli.inspection.check_chunks import findings
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore
from pipeline.dataset.views import ViewStore
from pipeline.errors import MissingData, SchemaMismatch, StorageError, UsageError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import place_of
from pipeline.market.calendar.periods import Period
from pipeline.operations.planning import label_staleness, output_state, run_plan, year_filter
from pipeline.run_state.output_root import check_output

_HASH = re.compile(r"[0-9a-f]{16}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``merge-chunks``."""
    parser.description = (
        "Merges the chunks of a folder and publishes the result as the latest "
        "dataset. Chunks of different schemas or origins are never merged."
    )
    parser.add_argument("--chunks-dir", type=place_of, help="default: chunks/ of data_output_dir")
    parser.add_argument(
        "--output-dir", type=place_of, help="root for the dataset (default: likewise)"
    )
    parser.add_argument(
        "--filter-by-year", type=_years, metavar="YEAR,YEAR", help="only the chunks of these years"
    )
    parser.add_argument(
        "--validate-schema", action="store_true", help="compare the columns with the manifest"
    )
    parser.add_argument(
        "--fail-on-schema-mismatch", action="store_true",
        help="do not merge when a chunk differs from the manifest; implies --validate-schema",
    )  # fmt: skip
    parser.add_argument(
        "--require-schema-hash", type=_hash, metavar="HASH",
        help="do not merge unless every chunk has this schema hash",
    )  # fmt: skip
    rest = parser.add_mutually_exclusive_group()
    rest.add_argument(
        "--allow-partial", action="store_true",
        help="leave out chunks that are not complete or, with --validate-schema, differ",
    )  # fmt: skip
    rest.add_argument(
        "--strict", action="store_true",
        help="read every file whole; refuse warnings, gaps and anything else found",
    )  # fmt: skip
    parser.add_argument(
        "--anew", action="store_true",
        help="merge also when nothing changed, because the dataset is damaged",
    )  # fmt: skip
    parser.add_argument(
        "--view", action="store_true",
        help="also publish ml_dataset_latest_view: links to the chunks under one footer",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge and say what was made; returns 0.

    Raises:
        UsageError: years that cut a chunk in two.
        MissingData: no chunk, or some that are not complete.
        SchemaMismatch: chunks of different schemas, or not of the wanted one.
        StorageError: a damaged chunk, missing sessions or stocks, different origins, overlapping
            dates.
        AlreadyRunning: a run is writing to the output root.
    """
    root = args.output_dir or configuration.settings().data_output_dir
    folder = args.chunks_dir or configuration.settings().data_output_dir / "chunks"
    store = ChunkStore.at(folder)
    check_output(root)
    chosen, notes = _chosen(store, args)
    run_plan.hold_output(root)
    if not args.filter_by_year:
        for line in gaps(chosen):
            _warn(line)
    dataset = DatasetStore(root).merge(store, chosen, anew=args.anew)
    for note in notes:
        _warn(note)
    facts = dataset.metadata
    print(f"dataset  {dataset.path}")
    print(f"latest   {root / 'ml_dataset_latest_full.parquet'}")
    if args.view:
        print(f"view     {ViewStore(root).make(store, chosen)}")
    print(f"rows     {facts['rows']}")
    print(f"sessions {facts['output_start']} to {facts['output_end']}")
    print(f"schema   {facts['feature_schema_hash']} (version {facts['feature_schema_version']})")
    print(f"chunks   {', '.join(chunk['chunk_id'] for chunk in facts['chunks'])}")
    return ExitCode.DONE


def fit(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The chunks with nothing wrong in themselves; the others are named on standard error."""
    for verdict in verdicts:
        if not verdict.sound:
            _warn(f"left out {verdict.chunk_id}: {'; '.join(findings(verdict))}")
    return [verdict for verdict in verdicts if verdict.sound]


def gaps(chunk_ids: Sequence[str]) -> list[str]:
    """Months missing between chunks, one line for each gap."""
    periods = sorted(Period.parse(chunk_id) for chunk_id in chunk_ids)
    return [
        f"nothing between {before.chunk_id} and {after.chunk_id}"
        for before, after in pairwise(periods)
        if after.first_month > before.last_month + 1
    ]


def _chosen(store: ChunkStore, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """What is to be merged, once the flags are content with it; and what a merge must note.

    Notes are for a merge that comes about: an error is to be the one line that counts.
    """
    if not store.folder.is_dir():
        raise MissingData(f"{store.folder}: there is no such folder", "give it with --chunks-dir")
    chosen = store.ids()
    if args.filter_by_year:
        chosen = year_filter.of_years(chosen, args.filter_by_year)
    validate = args.validate_schema or args.fail_on_schema_mismatch
    manifest = run_plan.load_manifest() if validate else None
    root, origin = store.folder.parent, output_state.main_origin(store.statuses(chosen).values())
    coverage = Coverage(root, label_staleness.cached_calendar(root, origin))
    checks = Checks(
        keys=args.strict, sha256=args.strict, coverage=coverage, years=args.filter_by_year
    )
    verdicts = judge_all(store, chosen, manifest, checks)
    notes = [*unchecked(verdicts)]
    if not args.strict:
        notes += [f"{verdict.chunk_id} {line}" for verdict in verdicts for line in verdict.gaps]
    if not args.allow_partial:
        _refuse_holes(verdicts)
    if not (validate or args.strict or args.allow_partial or args.require_schema_hash):
        return chosen, notes
    if args.fail_on_schema_mismatch:
        _refuse_mismatch(verdicts)
    if args.strict:
        _refuse_anything(verdicts)
    if args.allow_partial:
        verdicts = fit(verdicts)
        if not verdicts:
            raise MissingData(f"merge: no chunk in {store.folder} is fit", "build them first")
    if args.require_schema_hash:
        _refuse_other_hash(verdicts, args.require_schema_hash)
    for verdict in verdicts:
        if verdict.violations:
            _warn(f"{verdict.chunk_id} differs from the manifest: {'; '.join(findings(verdict))}")
    return [verdict.chunk_id for verdict in verdicts], notes


def _refuse_mismatch(verdicts: Sequence[Verdict]) -> None:
    lines = [f"{v.chunk_id}: {line}" for v in verdicts for line in v.violations.lines()]
    if lines:
        raise SchemaMismatch(
            "merge: chunks against the manifest", lines, "see g5 check-chunks --validate-schema"
        )


def _refuse_holes(verdicts: Sequence[Verdict]) -> None:
    lines = [f"{v.chunk_id}: {line}" for v in verdicts for line in v.holes]
    if lines:
        more = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise StorageError(
            f"merge: sessions or stocks are missing: {'; '.join(lines[:5])}{more}",
            "build these chunks again: g5 rebuild; or leave them out with --allow-partial",
        )


def _refuse_anything(verdicts: Sequence[Verdict]) -> None:
    lines = [f"{v.chunk_id}: {line}" for v in verdicts for line in (*v.lines(), *v.warnings)]
    lines += gaps([verdict.chunk_id for verdict in verdicts])
    if lines:
        more = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise StorageError(
            f"merge --strict: {len(lines)} findings: {'; '.join(lines[:5])}{more}",
            f"see g5 check-chunks {_flag_that_shows(verdicts)}",
        )


def _flag_that_shows(verdicts: Sequence[Verdict]) -> str:
    """Without its flag check-chunks reads no file whole, and finds nothing."""
    bytes_differ = any(OTHER_BYTES in verdict.issues for verdict in verdicts)
    return "--verify-sha256" if bytes_differ else "--validate-schema"


def _refuse_other_hash(verdicts: Sequence[Verdict], wanted: str) -> None:
    lines = [f"{v.chunk_id}: {v.schema_hash}" for v in verdicts if v.schema_hash != wanted]
    if lines:
        raise SchemaMismatch(
            f"merge: --require-schema-hash {wanted}", lines,
            "rebuild these chunks, or choose others with --filter-by-year",
        )  # fmt: skip


def _warn(text: str) -> None:
    sys.stderr.write(f"g5 merge-chunks: warning: {text}\n")


def _years(text: str) -> tuple[int, ...]:
    try:
        return year_filter.read_years(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(error.message.removeprefix("parameter ")) from None


def _hash(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 16 hexadecimal digits")
    return text
