"""What a reader sees first: what the page is about, what is wrong, and what is new."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.changes import Changes
from pipeline.report.markup import (
    NONE,
    Cell,
    Markup,
    Text,
    both,
    listing,
    moment,
    mood,
    number,
    paragraph,
    percent,
    section,
    shown,
    size,
    some,
    table,
)
from pipeline.report.report_facts import Facts, sessions_short

ORIGINS = {
    "simulator": Text("Synthetic: made by the simulator", "合成データ（シミュレーター）"),
    "api": Text("J-Quants API", "J-Quants API"),
    "files": Text("Downloaded bulk files", "一括ダウンロードファイル"),
}


def head(facts: Facts) -> Markup:
    """What the page is about, and its figures."""
    data = facts.dataset
    sessions = sum(one.total > 0 for profile in facts.profiles for one in profile.sessions.values())
    complete = sum(chunk.included and chunk.reason is None for chunk in facts.chunks)
    included = sum(chunk.included for chunk in facts.chunks)
    labels: Cell = NONE
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
            ).fill(n=len(warned), chunks=some(warned)),
            "chunks",
        )
    away = [one.source for one in facts.sources if not one.present]
    if away:
        yield _finding(
            Text(
                "{n} sources are unavailable: {names}", "{n} ソースが利用できません：{names}"
            ).fill(n=len(away), names=some(away)),
            "sources",
        )
    failed = facts.runs[0] if facts.runs and mood(facts.runs[0].outcome) == "bad" else None
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
            yield text.fill(c=some(chunks_))
    if found.schema:
        yield Text("The columns are others: the schema has changed.", "スキーマが変わりました。")
    if found.corrections:
        yield Text("{n} days were corrected by the vendor", "提供元による訂正 {n} 日分").fill(
            n=found.corrections
        )
