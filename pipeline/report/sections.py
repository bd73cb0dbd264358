"""The sections of the page, one function each, in the order they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.report.changes import Changes
from pipeline.report.charts import Spec, spreads
from pipeline.report.facts import ChunkFacts, Facts, RunFacts, sessions_short
from pipeline.report.markup import (
    Cell,
    Markup,
    Text,
    both,
    figure,
    folded,
    listing,
    moment,
    number,
    paragraph,
    percent,
    section,
    shown,
    size,
    table,
)
from pipeline.report.profile import DRIFT, TIERS, Session, null_rates, shift

MARKETS = {
    1: Text("Prime", "プライム"),
    2: Text("Standard", "スタンダード"),
    3: Text("Growth", "グロース"),
}
ORIGINS = {
    "simulator": Text("Synthetic: made by the simulator", "合成データ（シミュレーター）"),
    "api": Text("J-Quants API", "J-Quants API"),
    "files": Text("Downloaded bulk files", "一括ダウンロードファイル"),
}
DRIFTED = 1.0  # quartile ranges from which a shift is pointed out

_SHOWN = 12  # things named in one sentence
_NONE: Cell = "–"


def head(facts: Facts) -> Markup:
    """What the page is about, and its figures."""
    data = facts.dataset
    sessions = sum(one.total > 0 for profile in facts.profiles for one in profile.sessions.values())
    complete = sum(chunk.included and chunk.reason is None for chunk in facts.chunks)
    included = sum(chunk.included for chunk in facts.chunks)
    labels: Cell = _NONE
    if data.label_rows is not None:
        labels = Text("{columns} for {rows} rows", "{columns} 列・{rows} 行").fill(
            columns=data.label_columns, rows=number(data.label_rows)
        )
    tiles: list[tuple[Text, Cell | Markup]] = [
        (Text("Rows", "行数"), number(data.rows)),
        (Text("Columns", "列数"), number(data.columns)),
        (Text("Sessions", "営業日数"), number(sessions)),
        (Text("Range", "期間"), f"{data.first} – {data.last}"),
        (Text("Chunks complete", "完了チャンク"), f"{complete} / {included}"),
        (Text("Size", "容量"), size(data.bytes)),
        (Text("Labels", "ラベル"), labels),
        (
            Text("Schema", "スキーマ"),
            Markup(f"{shown(facts.schema_version)} <code>{shown(facts.schema_hash)}</code>"),
        ),
    ]
    figures = "".join(
        f"<div><dt>{both(name)}</dt><dd>{shown(value)}</dd></div>" for name, value in tiles
    )
    kind = "synthetic" if facts.origin == "simulator" else "real"
    made = Text("Generated {at}, code {code}", "作成 {at}、コード {code}").fill(
        at=moment(facts.generated_at), code=facts.code_version
    )
    return Markup(
        f'<p class="origin {kind}">{both(ORIGINS[facts.origin])}</p>'
        f"<h1>{both(Text('Dataset report', 'データセットレポート'))}</h1>"
        f'<p class="name"><code>{shown(data.name)}</code></p>'
        f'<p class="made">{both(made)}</p><dl class="tiles">{figures}</dl>'
    )


def findings(facts: Facts) -> Markup:
    """What is wrong, or that nothing is."""
    found = list(_findings(facts))
    title = Text("At a glance", "概況")
    if not found:
        good = Text(
            "All is well: every chunk is complete and passed the schema gate, and every session "
            "has a row for each listed stock.",
            "異常はありません。すべてのチャンクが完了してスキーマ検査に合格し、どの営業日にも"
            "上場銘柄すべての行があります。",
        )
        return section("findings", title, paragraph(good, "good"))
    return section("findings", title, listing(found, "findings"))


def changes(found: Changes | None) -> Markup:
    """What is new since the last report."""
    title = Text("Since the last report", "前回のレポートからの変化")
    if found is None:
        first = Text("This is the first report.", "これが最初のレポートです。")
        return section("changes", title, paragraph(first))
    since = Text("Last report: {at}.", "前回：{at}").fill(at=moment(found.since))
    if not found.any:
        same = Text("Nothing has changed.", "変化はありません。")
        return section("changes", title, paragraph(since, "quiet"), paragraph(same))
    moves: list[Markup] = []
    if found.moves:
        caption = Text(
            "Null rates that moved most, {shown} of {all}",
            "欠損率の変化が大きいもの（{all} 件中 {shown} 件）",
        ).fill(shown=len(found.moves), all=found.moves_in_all)
        heads = [
            Text("Month", "月"),
            Text("Family", "ファミリー"),
            Text("Before", "前回"),
            Text("Now", "今回"),
        ]
        rows = [(m.month, m.family, percent(m.before), percent(m.now)) for m in found.moves]
        moves.append(table(caption, heads, rows, numbers={2, 3}))
    return section("changes", title, paragraph(since, "quiet"), listing(_changes(found)), *moves)


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


def chunks(facts: Facts) -> Markup:
    """The state of every chunk and its schema."""
    heads = [
        Text("Chunk", "チャンク"),
        Text("State", "状態"),
        Text("Rows", "行数"),
        Text("First", "最初の日"),
        Text("Last", "最後の日"),
        Text("Schema", "スキーマ"),
        Text("Size", "容量"),
        Text("Built", "作成"),
        Text("Notes", "備考"),
    ]
    rows = [_chunk(facts, chunk) for chunk in reversed(facts.chunks)]
    gate = (
        Text("The schema gate is due: {why}", "スキーマ検査が必要です：{why}").fill(why=facts.gate)
        if facts.gate
        else Text(
            "The schema gate passed for the present builds of these chunks.",
            "現在のチャンクはすべてスキーマ検査に合格しています。",
        )
    )
    return section(
        "chunks",
        Text("Chunks and schema", "チャンクとスキーマ"),
        paragraph(gate),
        table(Text("Chunks, newest first", "チャンク（新しい順）"), heads, rows, numbers={2, 6}),
    )


def runs(found: Sequence[RunFacts]) -> Markup:
    """Run history."""
    title = Text("Run history", "実行履歴")
    if not found:
        nothing = Text("No runs recorded.", "実行の記録はありません。")
        return section("runs", title, paragraph(nothing))
    heads = [
        Text("Run", "実行"),
        Text("Started", "開始"),
        Text("Task", "タスク"),
        Text("Outcome", "結果"),
        Text("Duration", "所要時間"),
        Text("Chunks", "チャンク"),
        Text("Requests", "リクエスト"),
        Text("Peak memory", "最大メモリー"),
        Text("Error", "エラー"),
    ]
    longest = max((run.seconds or 0.0 for run in found), default=0.0)
    rows = [
        (
            Markup(f"<code>{shown(run.run_id)}</code>"),
            moment(run.started_at),
            f"{run.task} ({run.profile})" if run.profile else run.task,
            Markup(f'<span class="state {_mood(run.outcome)}">{shown(run.outcome)}</span>'),
            _bar(run.seconds, longest),
            number(run.chunks),
            number(run.requests),
            size(run.peak_bytes),
            run.error or _NONE,
        )
        for run in found
    ]
    return section(
        "runs",
        title,
        table(Text("Runs, newest first", "実行（新しい順）"), heads, rows, numbers={5, 6, 7}),
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
        rows.append((name, _NONE if moved is None else f"{moved:+.2f}", by_month))
    months = sorted({month for _, _, by_month in rows for month in by_month})
    heads = [
        Text("Feature", "特徴量"),
        Text("Shift, IQR", "変化（IQR 比）"),
        *(Text(month, month) for month in months),
    ]
    lines = [[name, moved, *(found.get(m, _NONE) for m in months)] for name, moved, found in rows]
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
            [str(days), *(_NONE if v is None else f"{100 * v:.1f} %" for v in row)]
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


def sources(facts: Facts) -> Markup:
    """What the newest chunk was built from, and how old that is."""
    heads = [
        Text("Source", "ソース"),
        Text("State", "状態"),
        Text("Last checked", "最終確認"),
        Text("Days ago", "経過日数"),
        Text("New content", "内容の更新"),
        Text("Range", "期間"),
        Text("Rows", "行数"),
        Text("Route", "経路"),
    ]
    there, gone = Text("present", "あり"), Text("snapshot gone", "スナップショットなし")
    away = Text("unavailable", "利用不可")
    rows: list[Sequence[Cell | Markup]] = []
    for one in facts.sources:
        state, mood = (away, "warn") if not one.present else (there, "good")
        if one.present and one.checked_at is None:
            state, mood = gone, "quiet"
        rows.append(
            (
                one.source,
                Markup(f'<span class="state {mood}">{both(state)}</span>'),
                moment(one.checked_at),
                _NONE if one.age_days is None else f"{one.age_days:.1f}",
                moment(one.fetched_at),
                f"{one.first} – {one.last}" if one.first else _NONE,
                number(one.rows),
                one.route or _NONE,
            )
        )
    return section(
        "sources",
        Text("Sources", "データソース"),
        paragraph(
            Text(
                "The snapshots that the newest chunk was built from. What an unavailable source "
                "feeds is null.",
                "最新のチャンクの元になったスナップショット。利用不可のソースに由来する値は欠損です。",
            )
        ),
        table(Text("Sources and their ages", "ソースと経過日数"), heads, rows, numbers={3, 6}),
    )


def corrections(facts: Facts) -> Markup:
    """What the vendor changed after the fact."""
    title = Text("Corrections seen", "確認された訂正")
    explained = Text(
        "Days of a source that came once more with other content, as far as the cache holds both "
        "versions. A chunk keeps what it was built from until it is rebuilt.",
        "同じ日付が別の内容で再び届いたもの（キャッシュに両方の版が残る範囲）。"
        "チャンクは作り直すまで元の内容を保ちます。",
    )
    if not facts.corrections:
        nothing = Text("None is known of.", "確認されていません。")
        return section("corrections", title, paragraph(explained), paragraph(nothing))
    heads = [
        Text("Seen", "確認日"),
        Text("Source", "ソース"),
        Text("Days", "日数"),
        Text("First", "最初の日"),
        Text("Last", "最後の日"),
        Text("Rows before", "訂正前の行数"),
        Text("Rows", "行数"),
    ]
    rows = [
        (c.seen, c.source, number(c.days), c.first, c.last, number(c.rows_before), number(c.rows))
        for c in facts.corrections
    ]
    return section(
        "corrections",
        title,
        paragraph(explained),
        table(
            Text("Corrections, newest first", "訂正（新しい順）"), heads, rows, numbers={2, 5, 6}
        ),
    )


def _findings(facts: Facts) -> Iterator[Markup]:
    for chunk in facts.chunks:
        if chunk.reason is not None and chunk.included:
            yield _finding(
                Text("Chunk {c}: {why}", "チャンク {c}：{why}").fill(
                    c=chunk.chunk_id, why=chunk.reason
                ),
                "chunks",
            )
    for why, text in (
        (facts.gate, Text("The schema gate is due: {why}", "スキーマ検査が必要です：{why}")),
        (facts.merge, Text("The merge is due: {why}", "結合が必要です：{why}")),
    ):
        if why:
            yield _finding(text.fill(why=why), "chunks")
    short = sessions_short(facts.chunks)
    if short:
        day, rows, members = short[0]
        yield _finding(
            Text(
                "{n} sessions have other rows than the listing records, first {day}: {rows} rows, "
                "{members} listed",
                "{n} 営業日で行数が上場銘柄数と異なります。最初は {day}：{rows} 行、上場 {members}",
            ).fill(n=len(short), day=day, rows=number(rows), members=number(members)),
            "coverage",
        )
    warned = [chunk.chunk_id for chunk in facts.chunks if chunk.included and chunk.warnings]
    if warned:
        yield _finding(
            Text(
                "Content warnings in {n} chunks: {chunks}",
                "{n} チャンクの内容に警告があります：{chunks}",
            ).fill(n=len(warned), chunks=_some(warned)),
            "chunks",
        )
    away = [one.source for one in facts.sources if not one.present]
    if away:
        yield _finding(
            Text(
                "{n} sources are unavailable: {names}", "{n} ソースが利用できません：{names}"
            ).fill(n=len(away), names=_some(away)),
            "sources",
        )
    failed = facts.runs[0] if facts.runs and _mood(facts.runs[0].outcome) == "bad" else None
    if failed is not None:
        yield _finding(
            Text("The last run failed: {why}", "前回の実行は失敗しました：{why}").fill(
                why=failed.error or failed.outcome
            ),
            "runs",
        )


def _finding(text: Text, anchor: str) -> Markup:
    return Markup(f'<a href="#{anchor}">{both(text)}</a>')


def _changes(found: Changes) -> Iterator[Text]:
    if found.sessions:
        yield Text(
            "{n} new sessions: {first} – {last}", "新しい営業日 {n} 日：{first} – {last}"
        ).fill(n=len(found.sessions), first=found.sessions[0], last=found.sessions[-1])
    if found.rows:
        yield Text("{n} rows", "行数 {n}").fill(n=f"{found.rows:+,}")
    for chunks_, text in (
        (found.added, Text("New chunks: {c}", "新しいチャンク：{c}")),
        (found.rebuilt, Text("Rebuilt chunks: {c}", "作り直したチャンク：{c}")),
        (found.gone, Text("Chunks no longer in the dataset: {c}", "外れたチャンク：{c}")),
    ):
        if chunks_:
            yield text.fill(c=_some(chunks_))
    if found.schema:
        yield Text("The columns are others: the schema has changed.", "スキーマが変わりました。")
    if found.corrections:
        yield Text("{n} days were corrected by the vendor", "提供元による訂正 {n} 日分").fill(
            n=found.corrections
        )


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


def _chunk(facts: Facts, chunk: ChunkFacts) -> list[Cell | Markup]:
    notes: list[Cell | Markup] = []
    if not chunk.included:
        notes.append(Text("not in this dataset", "このデータセットには含まれない"))
    if chunk.reason:
        notes.append(chunk.reason)
    notes += chunk.warnings
    if chunk.unavailable:
        without = Text("without {sources}", "{sources} なし")
        notes.append(without.fill(sources=_some(chunk.unavailable)))
    same = chunk.schema_hash == facts.schema_hash
    schema = f"{chunk.schema_version or '–'} · {(chunk.schema_hash or '–')[:8]}"
    return [
        chunk.chunk_id,
        Markup(f'<span class="state {_mood(chunk.state)}">{shown(chunk.state)}</span>'),
        number(chunk.rows),
        chunk.first or _NONE,
        chunk.last or _NONE,
        schema if same else Markup(f'<span class="state bad">{shown(schema)}</span>'),
        size(chunk.bytes),
        moment(chunk.built),
        listing(notes, "notes") if notes else _NONE,
    ]


def _legend(*entries: tuple[str, Text]) -> Markup:
    lines = "".join(f'<li><i class="{kind}"></i>{both(text)}</li>' for kind, text in entries)
    return Markup(f'<ul class="legend">{lines}</ul>')


def _bar(seconds: float | None, longest: float) -> Cell | Markup:
    """A duration in words and as a bar."""
    if seconds is None:
        return _NONE
    share = 100 * seconds / longest if longest else 0.0
    return Markup(
        f'<span class="bar"><i style="width:{share:.0f}%"></i></span> {_duration(seconds)}'
    )


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _mood(state: str) -> str:
    good = {"completed", "done", "nothing"}
    bad = {"failed", "failed_schema_mismatch", "unreadable", "killed"}
    return "good" if state in good else "bad" if state in bad else "warn"


def _last(chart: Spec) -> str:
    values = chart["data"]["values"]
    return f"{values[-1]['d']}: {values[-1]['v']}"


def _some(names: Sequence[str]) -> str:
    more = f" … (+{len(names) - _SHOWN})" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
