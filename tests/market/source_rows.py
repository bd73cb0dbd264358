"""Sources made of a few rows by hand, on the columns of ``hand``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from pipeline.api.endpoints import endpoint_of
from pipeline.market.axis import Axis, Source

from .hand import calendar, weekdays


def source(name: str, rows: Iterable[Mapping[str, object]]) -> Source:
    """Rows of a source, null where a field is not given, by the rule of its endpoint."""
    endpoint = endpoint_of(name)
    table = pa.Table.from_pylist([dict(row) for row in rows], endpoint.schema)
    return Source(table, endpoint.publication)


def shuffled(of: Source, seed: int) -> Source:
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(of.table.num_rows)
    return Source(of.table.take(pa.array(order)), of.publication)


def axis(n_columns: int, n_out: int, codes: Iterable[str] = ("10000",)) -> Axis:
    """The first weekdays, without a split."""
    names = np.array(sorted(codes))
    ones = np.ones((names.size, n_columns))
    return Axis(names, weekdays(n_columns), n_out, calendar(n_columns), ones)
