"""``g5 regenerate-manifest``: write the agreed schema anew, from the catalogue."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import MissingData, StorageError, UsageError
from pipeline.features import catalog
from pipeline.manifest import Manifest, columns_of, diff, from_json, to_json
from pipeline.storage import documents

FILE = "feature_schema_manifest.json"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``regenerate-manifest`` to the commands of g5."""
    parser = subparsers.add_parser(
        "regenerate-manifest", help="write the schema manifest from the catalogue or a chunk"
    )
    parser.add_argument("--version", required=True, help="new version, X.Y.Z")
    parser.add_argument(
        "--reference-chunk", type=Path, help="take the columns of this Parquet file"
    )
    parser.add_argument("--output", type=Path, help="default: the project's own manifest")
    parser.add_argument(
        "--overwrite", action="store_true", help="also replace the same or a higher version"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show what changes, then write; returns 0.

    Raises:
        UsageError: the version is not higher than the present one.
        StorageError: the reference chunk or the present manifest cannot be read.
    """
    output = args.output or documents.schema_folder() / FILE
    new = Manifest(
        version=args.version,
        generated_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        reference_file=str(args.reference_chunk or "pipeline/features/catalog.py"),
        columns=columns_of(_reference_schema(args.reference_chunk)),
    )
    old = _present(output)
    if old is not None:
        if new.version_key <= old.version_key and not args.overwrite:
            raise UsageError(
                f"--version {new.version}: not higher than the present {old.version} of {output}",
                "raise it, or say --overwrite",
            )
        for line in diff(old, new).lines() or ("no column changes",):
            print(line)
    documents.write_document(output, "manifest", to_json(new))
    print(f"{output}: version {new.version}, {len(new.columns)} columns, hash {new.schema_hash}")
    return 0


def _present(path: Path) -> Manifest | None:
    try:
        return from_json(documents.read_document(path, "manifest"))
    except MissingData:
        return None


def _reference_schema(chunk: Path | None) -> pa.Schema:
    if chunk is None:
        return catalog.column_schema()
    try:
        return pq.read_schema(chunk)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"--reference-chunk {chunk}: cannot be read: {error}") from error
