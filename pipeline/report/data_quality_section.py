"""Whether the data are good: coverage, null rates, drift, and the market of the last day."""

from __future__ import annotations

from pipeline.report.charts import Spec, spreads
from pipeline.report.chunk_profile import DRIFT, TIERS, Session, null_rates, shift
from pipeline.report.markup import (
    NONE,
    Cell,
    Markup,
    Text,
    both,
    figure,
    folded,
    number,
    paragraph,
    percent,
    section,
    table,
)
from pipeline.report.report_facts import Facts

MARKETS = {
    1: Text("Prime", "プライム"),
    2: Text("Standard", "スタンダード"),
    3: Text("Growth", "グロース"),
}
DRIFTED = 1.0  # quartile ranges from which a shift is pointed out


def coverage(facts: Facts) -> Markup:
    """Sessions by market, and rows against the listing records."""
    legend = _legend(
        ("accent", Text("a row for every listed stock", "上場銘柄すべてに行がある")),
        ("warn", Text("up to 1 % differ", "差が 1 % 以内")),
        ("bad", Text("more differ", "それより大きい差")),
        ("faint", Text("listing not at hand", "上場情報なし")),
    )
    maps = "".join(
        figure(
            f"coverage-{tier}",
            name,
            Text(
                f"Heat map of {name.en}: a row per quarter, a cell per session. The table below "
                "has the figures.",
                f"{name.ja}のヒートマップ。行が四半期、マスが営業日。数値は下の表にあります。",
            ),
        )
        for tier, name in MARKETS.items()
    )
    lines = figure(
        "rows",
        Text("Rows per session", "営業日ごとの行数"),
        Text(
            "Lines of the rows per session, by market. The table below has the figures.",
            "市場別、営業日ごとの行数の折れ線。数値は下の表にあります。",
        ),
        _legend(
            *(
                (kind, MARKETS[tier])
                for kind, tier in zip(("accent", "second", "third"), TIERS, strict=True)
            ),
            ("bad", Text("▼ listed, where rows differ", "▼ 行数と異なる上場銘柄数")),
        ),
    )
    caption = Text("Rows per session and market", "営業日・市場ごとの行数")
    heads = [
        Text("Session", "営業日"),
        *MARKETS.values(),
        Text("Rows", "行数"),
        Text("Listed", "上場銘柄数"),
    ]
    rows = [
        _session(day, one)
        for profile in reversed(facts.profiles)
        for day, one in reversed(list(profile.sessions.items()))
    ]
    return section(
        "coverage",
        Text("Coverage", "カバレッジ"),
        paragraph(
            Text(
                "Every stock listed on a session has a row, whether it traded or not. The listing "
                "records say how many there must be.",
                "営業日に上場している銘柄には、売買の有無にかかわらず必ず行があります。"
                "あるべき数は上場銘柄情報から数えます。",
            )
        ),
        legend,
        Markup(f'<div class="three">{maps}</div>'),
        lines,
        folded(
            Text("All sessions as a table", "全営業日の表"),
            table(caption, heads, rows, numbers={1, 2, 3, 4, 5}),
        ),
    )


def nulls(facts: Facts) -> Markup:
    """Null rates by family and month."""
    rates = null_rates(facts.profiles)
    families = list(dict.fromkeys(f for found in rates.values() for f in found))
    heads = [Text("Family", "ファミリー"), *(Text(month, month) for month in rates)]
    rows = [[family, *(percent(found[family]) for found in rates.values())] for family in families]
    caption = Text("Null rates by family and month", "ファミリー・月ごとの欠損率")
    return section(
        "nulls",
        Text("Null rates", "欠損率"),
        paragraph(
            Text(
                "Share of nulls in the base columns of a family, counted over all of them and all "
                "rows. A null is right where nothing was known yet; a sudden change is not.",
                "ファミリーに属する全ベース列・全行の欠損の割合。まだ何も公表されていない値は"
                "欠損で正しく、注意すべきは急な変化です。",
            )
        ),
        Markup('<p class="scale"><span>0 %</span><i class="ramp"></i><span>100 %</span></p>'),
        figure(
            "nulls",
            caption,
            Text(
                "Heat map: a row per family, a column per month. The table below has the figures.",
                "ヒートマップ。行がファミリー、列が月。数値は下の表にあります。",
            ),
        ),
        folded(
            Text("All rates as a table", "全欠損率の表"),
            table(caption, heads, rows, numbers=range(1, len(heads))),
        ),
    )


def drift(facts: Facts, charts: dict[str, Spec]) -> Markup:
    """Telling features by month."""
    figures, rows = [], []
    for name in DRIFT:
        found = spreads(facts.profiles, name)
        moved = shift(list(found.values()))
        note = ""
        if moved is not None and abs(moved) >= DRIFTED:
            note = f' <span class="state warn">{moved:+.1f} IQR</span>'
        if f"drift-{name}" in charts:
            code = Markup(f"<code>{name}</code>")
            told = Text(
                f"Median and quartiles of {name} by month. The table below has the figures.",
                f"{name} の月別の中央値と四分位。数値は下の表にあります。",
            )
            figures.append(figure(f"drift-{name}", code, told, Markup(note)))
        cells = [f"{m:.4g} ({low:.3g} … {high:.3g})" for low, m, high in found.values()]
        by_month = dict(zip(found, cells, strict=True))
        rows.append((name, NONE if moved is None else f"{moved:+.2f}", by_month))
    months = sorted({month for _, _, by_month in rows for month in by_month})
    heads = [
        Text("Feature", "特徴量"),
        Text("Shift, IQR", "変化（IQR 比）"),
        *(Text(month, month) for month in months),
    ]
    lines = [[name, moved, *(found.get(m, NONE) for m in months)] for name, moved, found in rows]
    caption = Text(
        "Median (lower quartile … upper quartile) by month", "月別の中央値（第1四分位…第3四分位）"
    )
    return section(
        "drift",
        Text("Drift of chosen features", "主な特徴量の推移"),
        paragraph(
            Text(
                "Median and quartiles over all stocks and days of a month. The shift is the last "
                "month's median against the middle of the months before, in quartile ranges.",
                "月内の全銘柄・全営業日の中央値と四分位。変化は、直近月の中央値とそれ以前の月の"
                "中央の差を四分位範囲（IQR）で割ったものです。",
            )
        ),
        Markup(f'<div class="small">{"".join(figures)}</div>'),
        folded(
            Text("All months as a table", "全月の表"),
            table(caption, heads, lines, numbers=range(1, len(heads))),
        ),
    )


def market(facts: Facts, charts: dict[str, Spec]) -> Markup:
    """The index and the option surface of the last day."""
    title = Text("Index and options on the last day", "最終営業日の指数とオプション")
    body: list[Markup] = []
    lines = ""
    if "index" in charts:
        lines += figure(
            "index",
            Text("TOPIX, the day before the first shown = 100", "TOPIX（表示初日の前日＝100）"),
            Text(
                f"TOPIX relative to the day before the first shown, last {_last(charts['index'])}.",
                f"表示初日の前日を基準とした TOPIX。最新 {_last(charts['index'])}。",
            ),
        )
    if "volatility" in charts:
        lines += figure(
            "volatility",
            Text(
                "Implied volatility, 30 days, at the money", "30日 ATM インプライドボラティリティ"
            ),
            Text(
                f"Implied volatility at the money, 30 days ahead, last "
                f"{_last(charts['volatility'])}.",
                f"30日先のアット・ザ・マネーのインプライドボラティリティ。最新 "
                f"{_last(charts['volatility'])}。",
            ),
        )
    if lines:
        body.append(Markup(f'<div class="two">{lines}</div>'))
    found = facts.surface
    if found is not None:
        caption = Text(
            "Implied volatility of {session}: strike / index (%) by days to expiry",
            "{session} のインプライドボラティリティ：行使価格／指数（%）×満期までの日数",
        ).fill(session=found.session)
        heads = [
            Text("Days to expiry", "満期までの日数"),
            *(Text(f"{100 * m:.0f} %", f"{100 * m:.0f} %") for m in found.moneyness),
        ]
        rows = [
            [str(days), *(NONE if v is None else f"{100 * v:.1f} %" for v in row)]
            for days, row in zip(found.days, found.iv, strict=True)
        ]
        quotes = Text(
            "Median of the out-of-the-money quotes in each band, {n} quotes in all.",
            "各区分のアウト・オブ・ザ・マネーの気配の中央値（全 {n} 件）。",
        ).fill(n=number(found.quotes))
        body += [
            figure(
                "surface",
                caption,
                Text(
                    "Heat map of implied volatility. The table below has the figures.",
                    "インプライドボラティリティのヒートマップ。数値は下の表にあります。",
                ),
            ),
            paragraph(quotes, "quiet"),
            folded(
                Text("The surface as a table", "曲面の表"),
                table(caption, heads, rows, numbers=range(len(heads))),
            ),
        ]
    else:
        body.append(
            paragraph(
                Text(
                    "No option surface: index options are not available, or have no quotes.",
                    "オプションの曲面はありません（取得対象外、または気配なし）。",
                ),
                "quiet",
            )
        )
    return section("market", title, *body)


def _session(day: str, one: Session) -> list[Cell | Markup]:
    """A line of the table; where rows differ from the members, both are shown."""
    cells: list[Cell | Markup] = [day]
    for at in range(len(TIERS)):
        listed = None if one.members is None else one.members[at]
        same = listed is None or listed == one.rows[at]
        cells.append(number(one.rows[at]) if same else f"{one.rows[at]:,} / {listed:,}")
    differs = one.expected is not None and one.expected != one.total
    total = number(one.total)
    return [
        *cells,
        Markup(f'<span class="state bad">{total}</span>') if differs else total,
        number(one.expected),
    ]


def _legend(*entries: tuple[str, Text]) -> Markup:
    lines = "".join(f'<li><i class="{kind}"></i>{both(text)}</li>' for kind, text in entries)
    return Markup(f'<ul class="legend">{lines}</ul>')


def _last(chart: Spec) -> str:
    values = chart["data"]["values"]
    return f"{values[-1]['d']}: {values[-1]['v']}"
