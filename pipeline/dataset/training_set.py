"""The dataset with labels beside the features, for training: one file, on request.

``ml_dataset_latest_with_labels.parquet`` has the columns of the dataset and behind them the
labels; the role of each stands in the metadata of its field. It is written row group by row group,
so memory is bounded by one of them, and replaced as a whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.parquet.layout import (
    DATE,
    RowGroupWriter,
    file_sha256,
    layout_of,
    parquet_file,
    reading,
    row_groups,
)
from pipeline.dataset.publication import Dataset
from pipeline.errors import DamagedFile, MissingData, PipelineError, StorageError
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import current, renewing
from pipeline.filesystem.local_copies import seekable
from pipeline.manifest import KEYS, stamped

Document = dict[str, Any]

_REMAKE = "delete it; the next run makes it again"


class TrainingSet:
    """The joined file of an output root."""

    def __init__(self, root: Path) -> None:
        self.path = root / "ml_dataset_latest_with_labels.parquet"
        self.metadata_path = root / "ml_dataset_latest_with_labels_metadata.json"
        self._labels = LabelStore(root)

    def why_due(self, dataset: Dataset, labels: Mapping[str, Any]) -> str | None:
        """Why it has to be written; None when it holds just this dataset and these labels."""
        try:
            said = documents.read_document(self.metadata_path, "training")
            size = current(self.path).stat().st_size
        except MissingData:
            return "never written"
        except PipelineError as error:
            return error.message
        except OSError:
            return "the file is missing"
        if said["dataset_hash"] != dataset.metadata["dataset_hash"]:
            return f"made of {said['dataset']}"
        if said["labels"] != _receipt(labels):
            return "made with other labels"
        return None if size == said["parquet_bytes"] else "the file has another size"

    def write(self, dataset: Dataset, labels: Mapping[str, Any], now: str) -> Document:
        """Write it anew; what its metadata say.

        Args:
            dataset: the published one.
            labels: the document of the label table for the same chunks.

        Raises:
            StorageError: the rows of the two differ, a file is damaged, or the file system
                refused.
        """
        features = pq.read_schema(seekable(dataset.path))
        schema = stamped(
            pa.schema([*features, *_label_fields(self._labels, labels)]),
            dataset.metadata["feature_schema_version"],
        )
        what = self.path.name
        with renewing(self.path) as path, ExitStack() as files:
            beside = _Months(self._labels, labels, files)
            with RowGroupWriter(path, schema, layout_of(dataset.path), what) as writer:
                for rows in row_groups(dataset.path, _REMAKE):
                    writer.write(beside.joined(rows))
            facts: Document = {
                "dataset": dataset.path.name,
                "dataset_hash": dataset.metadata["dataset_hash"],
                "labels": _receipt(labels),
                "origin": dataset.metadata["origin"],
                "rows": writer.contents().rows,
                "feature_columns": len(features) - len(KEYS),
                "label_columns": len(schema) - len(features),
                "generated_at": now,
                "parquet_bytes": path.stat().st_size,
                "parquet_sha256": file_sha256(path),
            }
        documents.write_document(self.metadata_path, "training", facts)
        return facts


class _Months:
    """The row groups of the label files by their month."""

    def __init__(self, store: LabelStore, labels: Mapping[str, Any], files: ExitStack) -> None:
        self._places: dict[dt.date, tuple[Path, pq.ParquetFile, int]] = {}
        for part in labels["parts"]:
            path = store.part_file(part["chunk_id"])
            with reading(path, _REMAKE):
                if file_sha256(path) != part["parquet_sha256"]:
                    raise DamagedFile(
                        f"label file {path}: is not the one recorded, its sha256 differs", _REMAKE
                    )
                file = files.enter_context(parquet_file(path))
                for group in range(file.num_row_groups):
                    first = file.metadata.row_group(group).column(0).statistics.min
                    self._places[first.replace(day=1)] = path, file, group

    def joined(self, rows: pa.Table) -> pa.Table:
        """One row group of the dataset with the labels of its rows.

        Raises:
            StorageError: the labels are for other rows, or damaged.
        """
        month = rows[DATE][0].as_py().replace(day=1)
        place = self._places.get(month)
        if place is None:
            raise StorageError(f"labels: none for {month:%Y-%m}", "delete labels/ and run again")
        path, file, group = place
        with reading(path, _REMAKE):
            labels = file.read_row_group(group)
        if not all(labels[key].equals(rows[key]) for key in KEYS):
            raise StorageError(
                f"labels of {month:%Y-%m}: for other rows than the dataset's",
                "delete labels/ and run again",
            )
        for field in labels.schema:
            if field.name not in KEYS:
                rows = rows.append_column(field, labels[field.name])
        return rows


def _label_fields(store: LabelStore, labels: Mapping[str, Any]) -> Iterator[pa.Field[Any]]:
    path = store.part_file(labels["parts"][0]["chunk_id"])
    with reading(path, _REMAKE):
        schema = pq.read_schema(path)
    yield from (field for field in schema if field.name not in KEYS)


def _receipt(labels: Mapping[str, Any]) -> dict[str, str]:
    return {part["chunk_id"]: part["parquet_sha256"] for part in labels["parts"]}
