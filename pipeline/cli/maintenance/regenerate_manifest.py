"""``g5 regenerate-manifest``: write the agreed schema anew, from the catalogue."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import MissingData, PipelineError, StorageError, UsageError
from pipeline.exit_codes import ExitCode
from pipeline.features.engine import catalogue
from pipeline.filesystem import documents
from pipeline.manifest import Manifest, columns_of, diff, from_json, to_json
from pipeline.operations.planning import run_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``regenerate-manifest``."""
    parser.add_argument("--version", required=True, help="new version, X.Y.Z")
    parser.add_argument(
        "--reference-chunk", type=Path, help="take the columns of this Parquet file"
    )
    parser.add_argument("--output", type=Path, help="default: the project's own manifest")
    parser.add_argument(
        "--overwrite", action="store_true",
        help="also replace the same or a higher version, or a damaged file",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what changes, then write; returns 0.

    Raises:
        UsageError: the version is malformed or not higher than the present one, or the columns
            cannot be agreed on.
        StorageError: the reference chunk or the present manifest cannot be read.
    """
    output = args.output or run_plan.manifest_path()
    new = Manifest(
        version=args.version,
        generated_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        reference_file=str(args.reference_chunk or "pipeline/features/engine/catalogue.py"),
        columns=columns_of(_reference_schema(args.reference_chunk)),
    )
    _refuse_contradiction(new)
    old = _present(output, replace=args.overwrite)
    if old is not None:
        if new.version_key <= old.version_key and not args.overwrite:
            raise UsageError(
                f"--version {new.version}: not higher than the present {old.version} of {output}",
                "raise it, or say --overwrite",
            )
        for line in diff(old, new).lines() or ("no column changes",):
            print(line)
        print(
            f"version {old.version} -> {new.version}, hash {old.schema_hash} -> {new.schema_hash}"
        )
    documents.write_document(output, "manifest", to_json(new))
    print(f"{output}: version {new.version}, {len(new.columns)} columns, hash {new.schema_hash}")
    return ExitCode.DONE


def _present(path: Path, *, replace: bool) -> Manifest | None:
    """The manifest to be replaced; None without one, or for a damaged one that may go."""
    try:
        return run_plan.load_manifest(path)
    except MissingData:
        return None
    except PipelineError as error:
        if not replace:
            raise type(error)(error.message, "restore the file, or say --overwrite") from error
        sys.stderr.write(f"g5 regenerate-manifest: replaced unread: {error.message}\n")
        return None


def _refuse_contradiction(manifest: Manifest) -> None:
    """Version, names and dtypes must pass as those of any manifest."""
    try:
        from_json(to_json(manifest))
    except UsageError as error:
        raise UsageError(
            f"{manifest.reference_file}: gives no manifest: {error.message}",
            "choose another --reference-chunk or --version",
        ) from error


def _reference_schema(chunk: Path | None) -> pa.Schema:
    if chunk is None:
        return catalogue.column_schema()
    try:
        return pq.read_schema(chunk)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"--reference-chunk {chunk}: cannot be read: {error}") from error
