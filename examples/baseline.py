"""A baseline model: gradient boosting, walk-forward, with purge and embargo.

    pip install -e '.[examples]'
    python examples/baseline.py --root output

The target is the return from the open of T+1 over five sessions, as a rank among the stocks of the
day. Each fold trains on the past and is judged on the block of sessions after it by its rank IC:
per session the rank correlation of prediction and return.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

import pipeline
from pipeline.errors import PipelineError

HORIZON = 5
LABEL = f"label_ret_oo_{HORIZON}d"
AHEAD = 1 + HORIZON  # sessions after T until the exit: entry at the open of T+1
FEATURES = [
    *("ret_prev_1d", "ret_prev_5d", "ret_prev_20d", "ret_prev_60d", "ret_prev_120d"),
    *("ret_overnight", "max_ret_20d", "min_ret_20d", "dist_high_250d", "max_drawdown_60d"),
    *("rsi_2", "rsi_14", "rsv_20d", "realized_vol_20d", "listing_age_td", "market_tier"),
]


@dataclass(frozen=True)
class Fold:
    """Positions of sessions, [start, stop) each.

    Attributes:
        train: what the model may learn from.
        test: what it is judged on.
    """

    train: range
    test: range


def walk_forward(sessions: int, folds: int, *, ahead: int, embargo: int) -> Iterator[Fold]:
    """Blocks of equal length in order of time: each is tested on, with all before it to train on.

    Purge: the label of session t reaches to session t + ``ahead``. Training ends early enough that
    the last of its labels is over before the first test session begins, so no bar is used both to
    teach and to judge. Embargo: this many sessions more are left out, because what is correlated
    over days (volatility, news) does not stop at a label's exit.

    Args:
        sessions: their number.
        folds: tested blocks; the first block of all is for training alone.
        ahead: sessions from T to the exit of its label.
        embargo: sessions left out in addition.

    Raises:
        SystemExit: the first fold has nothing to train on.
    """
    edges = np.linspace(0, sessions, folds + 2).astype(int).tolist()
    for start, stop in pairwise(edges[1:]):
        train = range(start - ahead - embargo)
        if not train:
            raise SystemExit(
                f"{sessions} sessions are too few for {folds} folds with a gap of "
                f"{ahead + embargo}; build more, or take fewer --folds"
            )
        yield Fold(train, range(start, stop))


def rank_ic(rows: pd.DataFrame) -> pd.Series:
    """Per session, the rank correlation of prediction and return over its stocks."""
    ranks = rows.groupby("Date")[["prediction", LABEL]].rank()
    ranks["Date"] = rows["Date"]
    return ranks.groupby("Date").apply(lambda day: day["prediction"].corr(day[LABEL]))


def matrix(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """(rows, columns) float32; NaN = null, which the model understands."""
    return rows[columns].to_numpy(dtype=np.float32, na_value=np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rank IC of a simple model, walk-forward.")
    parser.add_argument("--root", type=Path, default=Path("output"), help="output root")
    parser.add_argument("--start", help="first day (default: of the dataset)")
    parser.add_argument("--end", help="last day (default: of the dataset)")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--embargo", type=int, default=5, help="sessions (default 5)")
    args = parser.parse_args()
    try:
        rows = pipeline.load(args.start, args.end, columns=FEATURES, labels=LABEL, root=args.root)
    except PipelineError as error:
        raise SystemExit(str(error)) from None
    rows = rows[rows[LABEL].notna()].reset_index(drop=True)
    rows["target"] = rows.groupby("Date")[LABEL].rank(pct=True)
    sessions = np.unique(rows["Date"].to_numpy().astype("datetime64[D]"))
    place = np.searchsorted(sessions, rows["Date"].to_numpy())
    print(f"{len(rows):,} rows, {sessions.size} sessions, {len(FEATURES)} features, {LABEL}")
    folds = walk_forward(sessions.size, args.folds, ahead=AHEAD, embargo=args.embargo)
    for number, fold in enumerate(folds, 1):
        train = rows[place < fold.train.stop]
        test = rows[(place >= fold.test.start) & (place < fold.test.stop)].copy()
        model = HistGradientBoostingRegressor(
            max_iter=100, learning_rate=0.1, min_samples_leaf=max(20, len(train) // 500),
            l2_regularization=1.0, random_state=0,
        )  # fmt: skip
        # It cannot bin a column without any value, such as one whose source the plan lacks.
        filled = [name for name in FEATURES if train[name].notna().any()]
        model.fit(matrix(train, filled), train["target"])
        test["prediction"] = model.predict(matrix(test, filled))
        ic = rank_ic(test)
        print(
            f"fold {number}: trained to {sessions[fold.train.stop - 1]}, tested "
            f"{sessions[fold.test.start]} to {sessions[fold.test.stop - 1]}: "
            f"rank IC {ic.mean():+.4f}, per session {ic.std():.4f}"
        )


if __name__ == "__main__":
    main()
