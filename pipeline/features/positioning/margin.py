"""Family margin: how much of a stock is bought and sold on credit."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import CLOSE, Feature, FloatArray, Scope
from pipeline.market.jit import jit
from pipeline.market.panel.market_data import Market
from pipeline.market.panel.price_panel import Panel
from pipeline.market.positioning.margin_balance import DEPTH, FRESH, MarginRecords

SCOPE: Scope = "market"

_VOLUME_WINDOW = 20
_LOT = 100.0  # shares added to a balance before its logarithm is taken: the usual trading unit
_WEEKS = 52
_MIN_WEEKS = 26
_SAMPLE_DAYS = 400  # calendar days before T from which the weekly sample is taken

#: Phrases shared with margin_alert.
ADVS20 = f"advs20 = mean(vol_u, u in [T-{_VOLUME_WINDOW - 1}..T]) in the basis of T; null if 0"
DAYS_OF_VOLUME = "days of volume"

_RECORD = (
    "record in force = largest Date among rows of the code with PubDate_eff<=T; share counts "
    "divided by the product of AdjFactor over (Date,T]; "
)
_PREV = (
    "prev = record with the largest Date <= Date0-7 calendar days and >= Date0-21 among the same "
    "rows (works for weekly and, from 2026-09-25, daily records); "
)
_BALANCES = "mkt-margin-int.PubDate,Date,LongVol,ShrtVol"
_WITH_SHARES = f"{_BALANCES};fin-summary.ShOutFY,TrShFY"
_WITH_VOLUME = f"{_BALANCES};{CLOSE}"
_NONE = f"no record in force, or its PubDate_eff older than {FRESH} columns"

_feature = partial(
    Feature,
    family="margin",
    inputs=_BALANCES,
    lookback=25,
    available=(
        "PubDate_eff 16:30 JST (PubDate where filled, else 2nd trading day after Date, see "
        "features.md); as-of join, never by Date"
    ),
    dtype="float32",
    null_rule=_NONE,
    check="hand",
)
_to_shares = partial(
    _feature,
    inputs=_WITH_SHARES,
    lookback=200,
    unit="ratio",
    null_rule=f"{_NONE}, shares null",
)
_to_volume = partial(_feature, inputs=_WITH_VOLUME, unit=DAYS_OF_VOLUME)
_change = partial(_feature, lookback=45, unit="log change", null_rule=f"{_NONE} or no prev")

FEATURES: tuple[Feature, ...] = (
    _to_shares(
        name="margin_long_to_shares",
        formula=f"{_RECORD}LongVol/shares_T (shares of log_mktcap).",
    ),
    _to_shares(name="margin_short_to_shares", formula=f"{_RECORD}ShrtVol/shares_T"),
    _feature(
        name="margin_lsr_log",
        formula=f"{_RECORD}ln((LongVol+100)/(ShrtVol+100)).",
        unit="log ratio",
    ),
    _to_volume(
        name="margin_long_to_adv20",
        formula=f"{_RECORD}LongVol/advs20; {ADVS20}.",
    ),
    _to_volume(
        name="margin_short_to_adv20",
        formula=f"{_RECORD}ShrtVol/advs20; {ADVS20}.",
    ),
    _to_volume(
        name="margin_net_chg_1w_to_adv20",
        formula=(f"{_RECORD}{_PREV}((LongVol-ShrtVol)_0-(LongVol-ShrtVol)_prev)/advs20; {ADVS20}."),
        lookback=45,
        null_rule=f"{_NONE} or no prev",
    ),
    _change(
        name="margin_long_chg_1w",
        formula=f"{_RECORD}{_PREV}ln((LongVol_0+100)/(LongVol_prev+100))",
    ),
    _change(
        name="margin_short_chg_1w",
        formula=f"{_RECORD}{_PREV}ln((ShrtVol_0+100)/(ShrtVol_prev+100))",
    ),
    _feature(
        name="margin_long_std_share",
        formula=(
            f"{_RECORD}LongStdVol/LongVol; null if LongVol=0. Std = standardized (seido) "
            "margin, Neg = negotiable (ippan)."
        ),
        inputs="mkt-margin-int.PubDate,Date,LongStdVol,LongVol",
        unit="share",
    ),
    _feature(
        name="margin_net_z52",
        formula=(
            f"{_RECORD}x=(LongVol-ShrtVol)/shares_T; weekly sample = the in-force record "
            "for the last record Date of each ISO week; (x_0-mean)/std over the last "
            f"{_WEEKS} such weeks including the current one, ddof=1, at least "
            f"{_MIN_WEEKS}."
        ),
        inputs=_WITH_SHARES,
        lookback=300,
        unit="z",
        null_rule=f"{_NONE} or fewer than {_MIN_WEEKS} weeks",
    ),
    _feature(
        name="margin_staleness_td",
        formula="columns from the first column >= PubDate_eff of the record in force to T.",
        dtype="int16",
        unit="trading days",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out); per line where trading volume enters."""
    panel, margin = market.panel, market.margin
    shares = market.statements.shares[:, -panel.n_out :]
    long, short = (margin.shares(side, margin.row) for side in (margin.long, margin.short))
    before = margin.row_week_before
    long_before, short_before = (margin.shares(x, before) for x in (margin.long, margin.short))
    change = (long - short) - (long_before - short_before)
    return {
        "margin_long_to_shares": window_kernels.ratio(long, shares),
        "margin_short_to_shares": window_kernels.ratio(short, shares),
        "margin_lsr_log": log_ratio(long, short),
        "margin_long_to_adv20": in_days_of_volume(long, panel),
        "margin_short_to_adv20": in_days_of_volume(short, panel),
        "margin_net_chg_1w_to_adv20": in_days_of_volume(change, panel),
        "margin_long_chg_1w": log_ratio(long, long_before),
        "margin_short_chg_1w": log_ratio(short, short_before),
        "margin_long_std_share": _standard_share(margin),
        "margin_net_z52": _net_zscore(margin, shares),
        "margin_staleness_td": margin.staleness,
    }


def in_days_of_volume(shares: FloatArray, panel: Panel) -> FloatArray:
    """Shares of a code in the basis of T over advs20; null where that is 0 or null.

    Args:
        shares: (codes, n_out).
        panel: bars of all lines.

    Returns:
        (lines, n_out).
    """
    volume = window_kernels.window_mean(panel.vol, _VOLUME_WINDOW, _VOLUME_WINDOW, panel.n_out)
    return window_kernels.ratio(shares[panel.line_code], volume)


def log_ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """ln((a+100)/(b+100)) of two balances in shares: defined without a balance, too."""
    return np.log((a + _LOT) / (b + _LOT))


def _standard_share(margin: MarginRecords) -> FloatArray:
    """Both balances are of one Date, so no basis enters."""
    standard, long = (
        np.append(values, np.nan)[margin.row] for values in (margin.long_standard, margin.long)
    )
    return window_kernels.ratio(standard, long)


def _net_zscore(margin: MarginRecords, shares: FloatArray) -> FloatArray:
    axis = margin.axis
    wanted = np.arange(axis.first_wanted, axis.n_columns)
    return _weekly_zscore(
        margin.row,
        margin.offsets,
        margin.day,
        margin.visible,
        margin.since,
        margin.long - margin.short,
        axis.adj_factor,
        shares,
        wanted,
        axis.sessions[wanted].astype("datetime64[D]").astype(np.int64),
        window_kernels.ZERO_DEVIATION,
    )


@jit
def _weekly_zscore(
    in_force: NDArray[np.int64],
    offsets: NDArray[np.int64],
    day: NDArray[np.int64],
    visible: NDArray[np.int64],
    since: NDArray[np.int64],
    net: FloatArray,
    adj_factor: FloatArray,
    shares: FloatArray,
    columns: NDArray[np.int64],
    today: NDArray[np.int64],
    zero_deviation: float,
) -> FloatArray:
    """margin_net_z52, (codes, n_out).

    Walks back from the record in force, a record per ISO week, as far as splits are known: to the
    first column of the panel, which lies further back unless the data begin there. The split
    factors from T down to each record are multiplied on the way, newest first, so that K(Date, T]
    is the same product wherever the walk ends.

    Args:
        in_force: (codes, n_out) row in force, -1 for none.
        offsets, day, visible, since: see ``MarginRecords``.
        net: (records,) long less short balance as reported; NaN is skipped.
        adj_factor: (codes, columns).
        shares: (codes, n_out) shares outstanding on T; NaN where null, and 0 leaves no deviation.
        columns, today: (n_out,) the wanted columns, and their days since 1970-01-01.
        zero_deviation: share of the largest absolute value up to which a std counts as 0.
    """
    result = np.full(in_force.shape, np.nan)
    x = np.empty(_WEEKS)  # newest first
    for i in range(in_force.shape[0]):
        for k in range(columns.size):
            if in_force[i, k] < 0 or np.isnan(shares[i, k]):
                continue
            n, last_week = 0, np.int64(-1)
            factor, column = 1.0, columns[k]
            for row in range(in_force[i, k], offsets[i] - 1, -1):
                week = (day[row] + 3) // 7  # 1970-01-01 was a Thursday; weeks begin on Monday
                if n == _WEEKS or today[k] - day[row] > _SAMPLE_DAYS or since[row] < 0:
                    break
                counts = visible[row] <= columns[k] <= visible[row] + DEPTH
                if not counts or (n > 0 and week == last_week):
                    continue
                while column > since[row]:
                    factor *= adj_factor[i, column]
                    column -= 1
                x[n] = net[row] / factor / shares[i, k]
                n, last_week = n + 1, week
            total, known = 0.0, 0
            for j in range(n - 1, -1, -1):
                if not np.isnan(x[j]):
                    total += x[j]
                    known += 1
            if known < _MIN_WEEKS:
                continue
            mean, squares, largest = total / known, 0.0, 0.0
            for j in range(n - 1, -1, -1):
                if not np.isnan(x[j]):
                    squares += (x[j] - mean) * (x[j] - mean)
                    largest = max(largest, abs(x[j]))
            std = np.sqrt(squares / (known - 1))
            if std > zero_deviation * largest:
                result[i, k] = (x[0] - mean) / std
    return result
