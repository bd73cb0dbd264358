"""Labels of five years x 4,000 stocks.

    python benchmarks/labels.py

1. Raw prices of 4,000 stocks over five years in memory: a random walk with days without a trade,
   splits and delistings; quarters, each with the sessions after it, as the task lays them out.
2. Every quarter: the rows month by month, written as its label file, footer and checksum too.
   Reading bars and keys is not in the figure; benchmarks/chunk.py shows what reading costs.

The kernels are compiled before the clock starts; the first label run after an installation takes a
few seconds more.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np

from pipeline.cli.terminal.options import whole
from pipeline.dataset.label_store import LabelStore, PartOrder
from pipeline.features.engine.chunk_features import months_of
from pipeline.features.labels import label_rows
from pipeline.features.labels.label_values import AHEAD, definition_hash, label_schema
from pipeline.market.panel.outcomes import Outcomes

STOCKS = 4000
MOST_STOCKS = 8700  # a code has four digits and a nought
FIRST, LAST = np.datetime64("2019-01-04"), np.datetime64("2023-12-29")


def main() -> int:
    options = common.parser("Time the labels of five years.")
    options.add_argument("--stocks", type=whole(1, MOST_STOCKS), default=STOCKS)
    args = options.parse_args()
    common.tell_machine()
    with (
        common.work_folder(args.work) as work,
        tempfile.TemporaryDirectory(prefix="g5-bench-", dir=work) as folder,
    ):
        store = LabelStore(Path(folder))
        for quarter in list(quarters(50))[:1]:
            write(store, quarter)
        rows, spent = 0, 0.0
        for quarter in quarters(args.stocks):
            began = time.perf_counter()
            rows += write(store, quarter)
            spent += time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{rows:,} rows x 40 labels, quarter by quarter: {spent:.1f} s, {peak / common.GIB:.1f} GiB"
    )
    return 0 if common.ratio("labels_s", spent, "<=", 20) else 1


def write(store: LabelStore, outcomes: Outcomes) -> int:
    """The label file of a quarter; its number of rows."""
    order = PartOrder(
        chunk_id=f"{outcomes.sessions[0].astype(object):%Y}M{outcomes.sessions[0].astype(object):%m}",
        build_id="0" * 32,
        rebuild=None,
        origin="simulator",
        schema=label_schema(),
        definition_hash=definition_hash(),
        known_to=outcomes.sessions[-1].astype(object),
        last_bar=outcomes.sessions[-1].astype(object),
        settled=True,
    )
    months = months_of(outcomes.sessions[: outcomes.days])
    written = store.write(order, (label_rows.rows(outcomes, *month) for month in months))
    return int(written["rows"])


def quarters(stocks: int) -> Iterator[Outcomes]:
    """Five years of a made-up market, cut into quarters with the sessions after each."""
    rng = np.random.default_rng(1)
    days = np.arange(FIRST, LAST + 1, dtype="datetime64[D]")
    sessions = days[np.is_busday(days)]
    shape = (stocks, sessions.size)
    factors = np.where(rng.random(shape) < 0.0004, 0.5, 1.0)
    close = 1000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, shape), axis=1))
    close *= np.cumprod(factors, axis=1)
    opening = close * np.exp(rng.normal(0.0, 0.01, shape))
    gone = np.where(rng.random(stocks) < 0.1, rng.integers(0, shape[1], stocks), shape[1])
    listed = np.arange(shape[1]) < gone[:, None]
    silent = ~listed | (rng.random(shape) < 0.02)
    close[silent] = opening[silent] = np.nan
    sector = np.repeat(rng.integers(1, 34, stocks).astype(float)[:, None], shape[1], axis=1)
    volatility = rng.uniform(0.005, 0.6, shape)
    topix = rng.normal(2000.0, 10.0, shape[1])
    codes = np.array([f"{1300 + i:04d}0" for i in range(stocks)])
    number = sessions.astype("datetime64[M]").astype(int) // 3
    for quarter in np.unique(number):
        start, stop = np.flatnonzero(number == quarter)[[0, -1]] + [0, 1]
        wide = np.s_[:, start : stop + AHEAD]
        own = np.s_[:, start:stop]
        c = close[wide]
        yield Outcomes(
            sessions=sessions[start : stop + AHEAD],
            days=int(stop - start),
            codes=codes,
            universe=listed[own],
            sector=sector[own],
            volatility=volatility[own],
            o=opening[wide],
            c=c,
            adj_factor=factors[wide],
            topix_open=topix[start : stop + AHEAD],
            last_bar=c.shape[1] - 1,
        )


if __name__ == "__main__":
    sys.exit(main())
