"""Hand-made records of a source, and a bare axis to replay them on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.market.panel.axis import Axis, Source
from tests.market import hand

CODES = ("10010", "10020", "10030")


def source(name: str, *rows: Mapping[str, object]) -> Source:
    """Rows of a source with nulls in the columns they do not name."""
    endpoint = endpoint_of(name)
    return Source(
        pa.Table.from_pylist([dict(r) for r in rows], endpoint.schema), endpoint.publication
    )


def axis(
    n_columns: int,
    n_out: int,
    codes: Sequence[str] = CODES[:1],
    factors: Mapping[int, float] | None = None,
) -> Axis:
    """Consecutive weekdays; ``factors`` are the splits of the first code by column."""
    adj_factor = np.ones((len(codes), n_columns))
    for column, factor in (factors or {}).items():
        adj_factor[0, column] = factor
    sessions = hand.weekdays(n_columns)
    return Axis(np.array(codes), sessions, n_out, hand.calendar(n_columns), adj_factor)


def day(column: int, *, plus: int = 0) -> dt.date:
    """The date of a column, or some calendar days after it."""
    return hand.date_of(column) + dt.timedelta(days=plus)
