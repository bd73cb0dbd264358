"""What a finished build came to, so that two of them can be compared."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pipeline.dataset.label_store import LabelStore
from pipeline.dataset.merge_inputs import Source, dataset_hash
from pipeline.dataset.publication import DatasetStore
from tests.tasks.commands import Home, sha

#: Of the metadata of a chunk: what is in it. The rest says when, how and from what it was made: a
#: build that went on from an earlier one says other things there than one of all rows at once.
_CONTENT = (
    *("chunk_id", "origin", "output_start", "output_end", "rows", "columns", "dtypes"),
    *("feature_schema_hash", "feature_schema_version", "dataset_hash", "null_rates", "unavailable"),
)


@dataclass(frozen=True)
class Result:
    """The bytes of everything published, without what tells the time or names the run.

    Attributes:
        dataset: sha256 of the merged file, and the hash its metadata name.
        chunks: sha256 of the Parquet file of every chunk.
        metadata: of every chunk, as far as they say what is in it.
        labels: sha256 of every label file.
    """

    dataset: tuple[str, str]
    chunks: dict[str, str]
    metadata: dict[str, dict[str, Any]]
    labels: dict[str, str]

    def unlike(self, other: Result) -> list[str]:
        """Names of what differs."""
        return [
            field.name
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


def result_of(home: Home) -> Result:
    """The result of a finished build, every file held against the document that describes it.

    Raises:
        AssertionError: something is missing or does not belong to what describes it.
    """
    store, datasets = home.chunks, DatasetStore(home.root)
    statuses = home.statuses()
    assert statuses, "no chunk"
    metadata = {chunk: store.metadata(chunk) for chunk in statuses}
    for chunk, status in statuses.items():
        assert status["state"] == "completed", f"{chunk} is {status['state']}"
        assert sha(store.parquet_path(chunk)) == status["parquet_sha256"], f"{chunk}: other bytes"
        assert metadata[chunk]["build_id"] == status["build_id"], f"{chunk}: foreign metadata"
    dataset = datasets.latest()
    assert dataset is not None, "no dataset"
    assert datasets.is_published(dataset), "the two latest names are apart"
    sources = [Source(store.parquet_path(chunk), status) for chunk, status in statuses.items()]
    assert dataset.metadata["chunks"] == [source.entry for source in sources], "other chunks"
    content = dataset_hash(dataset.path, sources)
    assert dataset.metadata["dataset_hash"] == content, "the dataset is not what it says"
    return Result(
        (sha(dataset.path), content),
        {chunk: status["parquet_sha256"] for chunk, status in statuses.items()},
        {chunk: {n: found[n] for n in _CONTENT} for chunk, found in metadata.items()},
        _labels(home),
    )


def _labels(home: Home) -> dict[str, str]:
    store = LabelStore(home.root)
    document = store.read_document()
    assert [part["build_id"] for part in document["parts"]] == list(home.builds().values())
    for part in document["parts"]:
        path = store.part_path(part["chunk_id"])
        assert sha(path) == part["parquet_sha256"], f"{path.name}: other bytes than the document's"
    return {part["chunk_id"]: part["parquet_sha256"] for part in document["parts"]}
