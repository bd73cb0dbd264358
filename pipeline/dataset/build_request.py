"""What is to be built, said before a build begins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.dataset.content_checks import Ranges


@dataclass(frozen=True)
class Superseded:
    """A day that came with other content after rows that used it were published.

    Attributes:
        date: the day, ISO.
        arrived: when the other content was first seen, ISO, JST.
    """

    source: str
    date: str
    arrived: str


@dataclass(frozen=True)
class Input:
    """A snapshot that a chunk is built from.

    Attributes:
        checked_at: up to which moment it knows its source, ISO, JST.
    """

    source: str
    key: str
    sha256: str
    checked_at: str


@dataclass(frozen=True)
class BuildOrder:
    """What is to be built, from what and for whom.

    Attributes:
        chunk_id: such as ``2020Q1``.
        origin: api, files or simulator.
        run_id: the run that builds.
        code_version: version of the code that computes the rows.
        covered_from, covered_to: the asked range, both ends included; rows may cover less.
        input_start, input_end: days read, warm-up included.
        schema: columns with their roles, keys first.
        schema_version: version of the manifest.
        inputs: snapshots read.
        unavailable: sources that were not to be had under the plan; their features are null.
        ranges: lowest and highest value of the columns that have them; only warned about.
        corrections: that rows published before do not have, where such rows stand.
        quarantine: what of the days read could not be taken as it came, with its source; as
            documents.
    """

    chunk_id: str
    origin: str
    run_id: str
    code_version: str
    covered_from: dt.date
    covered_to: dt.date
    input_start: dt.date
    input_end: dt.date
    schema: pa.Schema
    schema_version: str
    inputs: tuple[Input, ...]
    unavailable: tuple[str, ...] = ()
    ranges: Ranges = field(default_factory=dict)
    corrections: tuple[Superseded, ...] = ()
    quarantine: tuple[Mapping[str, Any], ...] = ()
