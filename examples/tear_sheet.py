"""A tear sheet of one column: does it sort stocks by what becomes of them?

    python examples/tear_sheet.py --root output --factor ret_prev_20d --html factor.html

Returns run from the open of T+1, the first price at which row T can be traded, and are shown
against the mean of the day. Plain pandas.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import pipeline
from pipeline.errors import PipelineError

STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:.3em .8em;text-align:right}"


def quantiles(rows: pd.DataFrame, factor: str, count: int) -> pd.Series:
    """1 (lowest) to ``count`` (highest) among the stocks of the day; ties share one."""
    share = rows.groupby("Date")[factor].rank(pct=True, method="average")
    return np.ceil(share * count).clip(1, count).astype(int)


def returns_by_quantile(rows: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Mean return over that of the day, in basis points: a row per quantile, a column per horizon.

    The mean is taken per session first, so that every session counts alike.
    """
    relative = rows[labels] - rows.groupby("Date")[list(labels)].transform("mean")
    daily = relative.groupby([rows["Date"], rows["quantile"]]).mean()
    return (daily.groupby("quantile").mean().astype(float) * 1e4).round(1)


def information(rows: pd.DataFrame, factor: str, labels: Sequence[str]) -> pd.DataFrame:
    """Rank IC by horizon: mean, deviation, share of positive sessions, t.

    Returns of neighbouring sessions overlap, so t is that of every n-th session for a horizon
    of n sessions.
    """
    found = {}
    for label in labels:
        known = rows[rows[label].notna()]
        ranks = known.groupby("Date")[[factor, label]].rank()
        ranks["Date"] = known["Date"]
        ic = ranks.groupby("Date").apply(lambda day, to=label: day[factor].corr(day[to])).dropna()
        apart = ic.iloc[:: horizon_of(label)]
        t = apart.mean() / apart.std() * np.sqrt(len(apart)) if len(apart) > 2 else np.nan
        found[label] = {
            "mean": ic.mean(),
            "deviation": ic.std(),
            "positive": (ic > 0).mean(),
            "t": t,
            "sessions": len(ic),
        }
    return pd.DataFrame(found).T.round(4)


def turnover(rows: pd.DataFrame, factor: str, count: int) -> pd.Series:
    """How much changes from one session to the next.

    Share of the stocks of the lowest and highest quantile that were not in it the session before;
    and the correlation of a stock's rank with its rank the session before.
    """
    place = rows.pivot_table(index="Date", columns="Code", values="quantile")
    ranks = rows.pivot_table(index="Date", columns="Code", values=factor).rank(axis=1, pct=True)
    told = {}
    for name, number in (("lowest quantile", 1), ("highest quantile", count)):
        now, before = place.eq(number), place.shift().eq(number)
        told[f"new in {name}"] = ((now & ~before).sum(axis=1) / now.sum(axis=1)).iloc[1:].mean()
    told["rank autocorrelation"] = ranks.corrwith(ranks.shift(), axis=1).iloc[1:].mean()
    return pd.Series(told).round(3)


def horizon_of(label: str) -> int:
    return int(label.removeprefix("label_ret_oo_").removesuffix("d"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Tear sheet of a column of the dataset.")
    parser.add_argument("--root", type=Path, default=Path("output"), help="output root")
    parser.add_argument("--factor", default="ret_prev_20d", help="column (default ret_prev_20d)")
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--quantiles", type=int, default=5)
    parser.add_argument("--start")
    parser.add_argument("--end")
    parser.add_argument("--html", type=Path, help="also write a page")
    args = parser.parse_args()
    labels = [f"label_ret_oo_{horizon}d" for horizon in args.horizons]
    try:
        rows = pipeline.load(
            args.start, args.end, columns=args.factor, labels=labels, root=args.root
        )
    except PipelineError as error:
        raise SystemExit(str(error)) from None
    rows = rows[rows[args.factor].notna()].reset_index(drop=True)
    rows["quantile"] = quantiles(rows, args.factor, args.quantiles)
    sessions = rows["Date"].nunique()
    title = (
        f"{args.factor}: {len(rows):,} rows, {sessions} sessions, {rows['Code'].nunique()} codes"
    )
    parts = {
        "Return over the mean of the day, basis points": returns_by_quantile(rows, labels),
        "Rank IC": information(rows, args.factor, labels),
        "Turnover per session": turnover(rows, args.factor, args.quantiles).to_frame("share"),
    }
    print(title)
    for heading, table in parts.items():
        print(f"\n{heading}\n{table.to_string()}")
    if args.html:
        body = "".join(f"<h2>{html.escape(h)}</h2>{t.to_html()}" for h, t in parts.items())
        args.html.write_text(
            f"<!doctype html><meta charset='utf-8'><title>{html.escape(args.factor)}</title>"
            f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>{body}",
            encoding="utf-8",
        )
        print(f"\nwritten: {args.html}")


if __name__ == "__main__":
    main()
