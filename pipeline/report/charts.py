"""The charts as Vega-Lite specifications: what is drawn, without words and without colours.

Words of a tooltip are pairs ``{"en": ..., "ja": ...}``, colours are names such as ``$accent``: the
page puts in those of the reader's language and of the light or dark scheme, and draws again when
either changes. Axes carry dates, numbers and names of families alone; captions are in the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.chunk_profile import DRIFT, TIERS, Profile, null_rates
from pipeline.report.report_facts import Surface

Spec = dict[str, Any]

SLIGHT = 0.01  # share of missing rows up to which a session counts as slightly short
MARKET_SESSIONS = 250

_FEW = 40  # values on a line up to which each is a point too

_DATE = {"en": "date", "ja": "日付"}
_MONTH = {"en": "month", "ja": "月"}
_ROWS = {"en": "rows", "ja": "行数"}
_MEMBERS = {"en": "listed", "ja": "上場銘柄数"}


def coverage(profiles: Sequence[Profile], tier: int) -> Spec:
    """Sessions of one market: a row per quarter, a cell per session.

    The state says how the rows compare with the members: whole, slight, gap, or unknown.
    """
    at = TIERS.index(tier)
    values = []
    position: dict[str, int] = {}
    for day, one in _sessions(profiles).items():
        quarter = f"{day[:4]} Q{(int(day[5:7]) + 2) // 3}"
        position[quarter] = position.get(quarter, 0) + 1
        members = None if one.members is None else one.members[at]
        values.append(
            {"q": quarter, "n": position[quarter], "d": day, "r": one.rows[at], "m": members,
             "s": _state(one.rows[at], members)}
        )  # fmt: skip
    return {
        "height": {"step": 14},
        "data": {"values": values},
        "mark": {"type": "rect", "cornerRadius": 1},
        "encoding": {
            "x": {"field": "n", "type": "ordinal", "axis": None,
                  "scale": {"domain": list(range(1, max(position.values(), default=1) + 1)),
                            "paddingInner": 0.12}},
            "y": {"field": "q", "type": "ordinal", "title": None,
                  "axis": {"ticks": False, "domain": False},
                  "scale": {"paddingInner": 0.15}},
            "color": {"field": "s", "type": "nominal", "legend": None,
                      "scale": {"domain": ["whole", "slight", "gap", "unknown"],
                                "range": ["$accent", "$warn", "$bad", "$faint"]}},
            "tooltip": [_tip("d", _DATE), _tip("r", _ROWS, ","), _tip("m", _MEMBERS, ",")],
        },
    }  # fmt: skip


def rows_per_day(profiles: Sequence[Profile]) -> Spec:
    """Rows of every market as lines; what the listing records give, where rows are missing."""
    values, missing = [], []
    for day, one in _sessions(profiles).items():
        for at, tier in enumerate(TIERS):
            members = None if one.members is None else one.members[at]
            value = {"d": day, "t": str(tier), "r": one.rows[at], "m": members}
            values.append(value)
            if members is not None and members != one.rows[at]:
                missing.append(value)
    x = _time("d", 6)
    color = {"field": "t", "type": "nominal", "legend": None,
             "scale": {"domain": [str(t) for t in TIERS],
                       "range": ["$accent", "$second", "$third"]}}  # fmt: skip
    return {
        "height": 220,
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "line", "strokeWidth": 1.6, "point": len(values) < _FEW,
                         "interpolate": "step"},
                "encoding": {"x": x, "y": _quantity("r"), "color": color,
                             "tooltip": [_tip("d", _DATE), _tip("r", _ROWS, ","),
                                         _tip("m", _MEMBERS, ",")]},
            },
            {
                "data": {"values": missing},
                "mark": {"type": "point", "shape": "triangle-down", "color": "$bad",
                         "filled": True, "size": 45},
                "encoding": {"x": x, "y": _quantity("m"),
                             "tooltip": [_tip("d", _DATE), _tip("r", _ROWS, ","),
                                         _tip("m", _MEMBERS, ",")]},
            },
        ],
    }  # fmt: skip


def nulls(profiles: Sequence[Profile]) -> Spec:
    """Null rates: a row per family, a column per month."""
    rates = null_rates(profiles)
    values = [
        {"m": month, "f": family, "v": round(share, 4)}
        for month, families in rates.items()
        for family, share in families.items()
    ]
    families = list(dict.fromkeys(f for found in rates.values() for f in found))
    return {
        "height": {"step": 16},
        "data": {"values": values},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {"field": "m", "type": "ordinal", "title": None,
                  "axis": {"orient": "top", "labelAngle": 0, "labelOverlap": "greedy",
                           "ticks": False, "domain": False},
                  "scale": {"paddingInner": 0.04}},
            "y": {"field": "f", "type": "nominal", "sort": families, "title": None,
                  "axis": {"ticks": False, "domain": False}, "scale": {"paddingInner": 0.08}},
            "color": {"field": "v", "type": "quantitative", "legend": None,
                      "scale": {"domain": [0, 1], "range": ["$low", "$middle", "$high"],
                                "interpolate": "lab"}},
            "tooltip": [_tip("f", {"en": "family", "ja": "ファミリー"}), _tip("m", _MONTH),
                        _tip("v", {"en": "nulls", "ja": "欠損率"}, ".1%")],
        },
    }  # fmt: skip


def drift(profiles: Sequence[Profile], feature: str) -> Spec:
    """Median and quartiles of a feature by month."""
    values = [
        {"m": month, "l": low, "v": middle, "h": high}
        for month, (low, middle, high) in spreads(profiles, feature).items()
    ]
    x = _time("m", 4)
    tips = [
        _tip("m", _MONTH),
        _tip("v", {"en": "median", "ja": "中央値"}, ".4~g"),
        _tip("l", {"en": "lower quartile", "ja": "第1四分位"}, ".4~g"),
        _tip("h", {"en": "upper quartile", "ja": "第3四分位"}, ".4~g"),
    ]
    single = len(values) == 1
    band: Spec = {"type": "bar", "size": 14} if single else {"type": "area"}
    return {
        "height": 96,
        "data": {"values": values},
        "encoding": {"x": x, "tooltip": tips},
        "layer": [
            {"mark": band | {"opacity": 0.22, "color": "$accent"},
             "encoding": {"y": _quantity("l", ticks=3, form=".3~g"), "y2": {"field": "h"}}},
            {"mark": {"type": "line", "color": "$accent", "strokeWidth": 1.8,
                      "point": {"size": 22, "color": "$accent"} if len(values) < _FEW else False},
             "encoding": {"y": _quantity("v", ticks=3, form=".3~g")}},
        ],
    }  # fmt: skip


def spreads(profiles: Sequence[Profile], feature: str) -> dict[str, tuple[float, ...]]:
    """Quartiles by month; of a month in two chunks, those of the later one."""
    found = {
        month: one.spread[feature]
        for profile in profiles
        for month, one in profile.months.items()
        if feature in one.spread
    }
    return dict(sorted(found.items()))


def index(profiles: Sequence[Profile]) -> Spec:
    """TOPIX over the last sessions, the day before the first of them being 100."""
    level, values = 100.0, []
    for day, change in _series(profiles, 0):
        level *= 1 + change
        values.append({"d": day, "v": round(level, 3), "c": change})
    tips = [
        _tip("d", _DATE),
        _tip("v", {"en": "level", "ja": "水準"}, ".2f"),
        _tip("c", {"en": "change", "ja": "前日比"}, "+.2%"),
    ]
    return _line(values, tips)


def volatility(profiles: Sequence[Profile]) -> Spec:
    """Implied volatility at the money, 30 days ahead, over the last sessions."""
    values = [{"d": day, "v": value} for day, value in _series(profiles, 1)]
    tips = [_tip("d", _DATE), _tip("v", {"en": "volatility", "ja": "ボラティリティ"}, ".1%")]
    return _line(values, tips, ".0%")


def surface(found: Surface) -> Spec:
    """Volatility by days to expiry and strike / index, as a heat map with its figures."""
    values = [
        {"e": str(days), "k": f"{100 * band:.0f}", "v": value}
        for days, row in zip(found.days, found.iv, strict=True)
        for band, value in zip(found.moneyness, row, strict=True)
        if value is not None
    ]
    known = sorted(value for row in found.iv for value in row if value is not None)
    middle = (known[0] + known[-1]) / 2
    axis = {"ticks": False, "domain": False, "labelAngle": 0}
    return {
        "height": {"step": 26},
        "data": {"values": values},
        "encoding": {
            "x": {"field": "k", "type": "ordinal", "title": None, "axis": axis,
                  "sort": [f"{100 * band:.0f}" for band in found.moneyness],
                  "scale": {"paddingInner": 0.04}},
            "y": {"field": "e", "type": "ordinal", "title": None, "axis": axis,
                  "sort": [str(days) for days in found.days], "scale": {"paddingInner": 0.08}},
            "tooltip": [_tip("e", {"en": "days to expiry", "ja": "満期までの日数"}),
                        _tip("k", {"en": "strike / index, %", "ja": "行使価格／指数（%）"}),
                        _tip("v", {"en": "volatility", "ja": "ボラティリティ"}, ".1%")],
        },
        "layer": [
            {"mark": {"type": "rect"},
             "encoding": {"color": {"field": "v", "type": "quantitative", "legend": None,
                                    "scale": {"range": ["$low", "$middle", "$high"],
                                              "interpolate": "lab"}}}},
            {"mark": {"type": "text", "fontSize": 10},
             "encoding": {"text": {"field": "v", "type": "quantitative", "format": ".0%"},
                          "color": {"condition": {"test": f"datum.v > {middle}",
                                                  "value": "$onhigh"}, "value": "$ink"}}},
        ],
    }  # fmt: skip


def all_of(profiles: Sequence[Profile], options: Surface | None) -> dict[str, Spec]:
    """Every chart of the page by its id; those without a value to show are left out."""
    charts = {f"coverage-{tier}": coverage(profiles, tier) for tier in TIERS}
    charts |= {"rows": rows_per_day(profiles), "nulls": nulls(profiles)}
    charts |= {f"drift-{name}": drift(profiles, name) for name in DRIFT if spreads(profiles, name)}
    if _series(profiles, 0):
        charts["index"] = index(profiles)
    if _series(profiles, 1):
        charts["volatility"] = volatility(profiles)
    if options is not None:
        charts["surface"] = surface(options)
    return charts


def _sessions(profiles: Sequence[Profile]) -> Mapping[str, Any]:
    return {day: one for profile in profiles for day, one in profile.sessions.items()}


def _series(profiles: Sequence[Profile], at: int) -> list[tuple[str, float]]:
    """The last values of one of ``profile.MARKET`` with their sessions."""
    found = [
        (day, one.market[at])
        for day, one in _sessions(profiles).items()
        if one.market[at] is not None
    ]
    return found[-MARKET_SESSIONS:]


def _state(rows: int, members: int | None) -> str:
    if members is None:
        return "unknown"
    if rows == members:
        return "whole"
    return "slight" if abs(rows - members) <= SLIGHT * members else "gap"


def _line(values: list[dict[str, Any]], tips: list[Spec], form: str = "~g") -> Spec:
    return {
        "height": 150,
        "data": {"values": values},
        "mark": {"type": "line", "color": "$accent", "strokeWidth": 1.8,
                 "point": {"color": "$accent"} if len(values) < _FEW else False},
        "encoding": {
            "x": _time("d", 5),
            "y": _quantity("v", form=form),
            "tooltip": tips,
        },
    }  # fmt: skip


def _time(field: str, ticks: int) -> Spec:
    """An axis of dates, read and shown as what they are in every time zone."""
    return {
        "field": field,
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc"},
        "axis": {"format": "%Y-%m", "grid": False, "tickCount": ticks, "labelOverlap": "greedy"},
    }


def _quantity(field: str, ticks: int = 4, form: str = "~s") -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": True},
        "axis": {"tickCount": ticks, "format": form, "domain": False, "ticks": False},
    }


def _tip(field: str, title: Mapping[str, str], form: str = "") -> Spec:
    spec: Spec = {"field": field, "type": "nominal", "title": dict(title)}
    return spec | {"type": "quantitative", "format": form} if form else spec
