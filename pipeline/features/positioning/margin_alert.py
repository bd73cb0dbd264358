"""Family margin_alert: stocks whose margin balances are published every day, and why."""

from __future__ import annotations

from functools import partial

from pipeline.features.engine import window_kernels
from pipeline.features.engine.column_spec import CLOSE, Feature, FloatArray, Scope
from pipeline.features.positioning.margin import (
    ADVS20,
    DAYS_OF_VOLUME,
    in_days_of_volume,
    log_ratio,
)
from pipeline.market.books.record_in_force import NO_ROW
from pipeline.market.panel.market_data import Market

SCOPE: Scope = "market"

_WINDOW = 20

_RECORD = (
    "record in force = rows with PubDate on column T or T-1, largest AppDate, then largest PubDate "
    "(corrections are added, never replaced); '-' and '*' parse to null; "
)
_SOURCE = "mkt-margin-alert.PubDate,AppDate"

_feature = partial(
    Feature,
    family="margin_alert",
    lookback=1,
    available="PubDate 16:30 JST; as-of join by PubDate, never by AppDate",
    dtype="int8",
    unit="flag",
    null_rule="never null while listed",
    check="hand",
)

FEATURES: tuple[Feature, ...] = (
    _feature(
        name="alert_is_listed",
        formula=f"{_RECORD}1 if a record is in force, else 0.",
        inputs=f"{_SOURCE},Code",
    ),
    _feature(
        name="alert_reg_class",
        formula=f"{_RECORD}int(TSEMrgnRegCls), 0 if no record.",
        inputs=f"{_SOURCE},TSEMrgnRegCls",
        unit="category",
        null_rule="TSEMrgnRegCls of the record is in no list",
    ),
    _feature(
        name="alert_jsf_restricted",
        formula=(
            f"{_RECORD}1 if PubReason.RestrictedByJSF='1' or PubReason.PrecautionByJSF='1', else 0"
        ),
        inputs=f"{_SOURCE},PubReason",
        null_rule="neither is '1', and one of the two is not '0'",
    ),
    _feature(
        name="alert_days_20d",
        formula=f"sum of alert_is_listed over [T-{_WINDOW - 1}..T]",
        inputs=f"{_SOURCE},Code",
        lookback=_WINDOW,
        unit="count",
    ),
    _feature(
        name="alert_sl_ratio_log",
        formula=(
            f"{_RECORD}ln((LongOut+100)/(ShrtOut+100)), recomputed from the balances "
            "(SLRatio itself is short over long in percent)."
        ),
        inputs=f"{_SOURCE},LongOut,ShrtOut",
        dtype="float32",
        unit="log ratio",
        null_rule="no record in force",
    ),
    _feature(
        name="alert_long_chg_to_adv20",
        formula=f"{_RECORD}LongOutChg/advs20; {ADVS20}.",
        inputs=f"{_SOURCE},LongOutChg;{CLOSE}",
        lookback=20,
        dtype="float32",
        unit=DAYS_OF_VOLUME,
        null_rule="no record, or LongOutChg null (first day of designation)",
    ),
)


def compute(market: Market) -> dict[str, FloatArray]:
    """All columns of the family, (codes, n_out); per line where trading volume enters."""
    panel, alerts = market.panel, market.alerts
    none = alerts.row == NO_ROW

    def mark(values: FloatArray) -> FloatArray:
        marked: FloatArray = alerts.value(values)
        marked[none] = 0.0
        return marked

    long, short = alerts.shares(alerts.long), alerts.shares(alerts.short)
    return {
        "alert_is_listed": window_kernels.lagged(alerts.listed, 0, panel.n_out),
        "alert_reg_class": mark(alerts.reg_class),
        "alert_jsf_restricted": mark(alerts.by_jsf),
        "alert_days_20d": window_kernels.window_sum(alerts.listed, _WINDOW, _WINDOW, panel.n_out),
        "alert_sl_ratio_log": log_ratio(long, short),
        "alert_long_chg_to_adv20": in_days_of_volume(alerts.shares(alerts.long_change), panel),
    }
