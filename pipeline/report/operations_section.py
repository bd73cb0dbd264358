"""Where the data come from: chunks, runs, sources and what the vendor corrected."""

from __future__ import annotations

from collections.abc import Sequence

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
    section,
    shown,
    size,
    some,
    table,
)
from pipeline.report.report_facts import ChunkFacts, Facts, RunFacts


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
            Markup(f'<span class="state {mood(run.outcome)}">{shown(run.outcome)}</span>'),
            _bar(run.seconds, longest),
            number(run.chunks),
            number(run.requests),
            size(run.peak_bytes),
            run.error or NONE,
        )
        for run in found
    ]
    return section(
        "runs",
        title,
        table(Text("Runs, newest first", "実行（新しい順）"), heads, rows, numbers={5, 6, 7}),
    )


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
                NONE if one.age_days is None else f"{one.age_days:.1f}",
                moment(one.fetched_at),
                f"{one.first} – {one.last}" if one.first else NONE,
                number(one.rows),
                one.route or NONE,
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


def quarantine(facts: Facts) -> Markup:
    """What of the sources could not be taken as it came."""
    title = Text("Unreadable values and repeated rows", "読めない値と重複行")
    explained = Text(
        "Values that could not be read are null; identical repeated rows are dropped. Of the "
        "snapshots that the newest chunk was built from.",
        "読めない値は欠損になり、同一の重複行は除かれます"
        "（最新のチャンクの元になったスナップショット）。",
    )
    if not facts.quarantine:
        nothing = Text("There are none.", "ありません。")
        return section("quarantine", title, paragraph(explained), paragraph(nothing))
    heads = [
        Text("Source", "ソース"),
        Text("Field", "項目"),
        Text("Value", "値"),
        Text("Count", "件数"),
        Text("First", "最初の日"),
        Text("Last", "最後の日"),
        Text("First record", "最初のレコード"),
    ]
    repeated = Text("repeated row", "重複行")
    rows: list[Sequence[Cell | Markup]] = [
        (
            one.source,
            one.field or NONE,
            one.spelling if one.kind == "value" else repeated,
            number(one.count),
            one.first,
            one.last,
            one.record,
        )
        for one in facts.quarantine
    ]
    caption = Text("By source, field and value", "ソース・項目・値ごと")
    return section(
        "quarantine", title, paragraph(explained), table(caption, heads, rows, numbers={3})
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
        lacking = _lacking(facts)
        return section("corrections", title, paragraph(explained), *lacking, paragraph(nothing))
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
        *_lacking(facts),
        table(
            Text("Corrections, newest first", "訂正（新しい順）"), heads, rows, numbers={2, 5, 6}
        ),
    )


def _lacking(facts: Facts) -> list[Markup]:
    """The chunks whose rows lack corrections of closed months."""
    text = Text(
        "{chunk}: the rows lack corrections of {days} days of closed months. "
        "g5 cache corrections names them, g5 rebuild --corrected takes them in.",
        "{chunk}：締まった月の訂正 {days} 日分が行に反映されていません。"
        "g5 cache corrections で一覧し、g5 rebuild --corrected で反映します。",
    )
    found = [text.fill(chunk=chunk, days=days) for chunk, days in facts.lacking.items()]
    return [listing(found)] if found else []


def _chunk(facts: Facts, chunk: ChunkFacts) -> list[Cell | Markup]:
    notes: list[Cell | Markup] = []
    if not chunk.included:
        notes.append(Text("not in this dataset", "このデータセットには含まれない"))
    if chunk.reason:
        notes.append(chunk.reason)
    notes += chunk.warnings
    if chunk.unavailable:
        without = Text("without {sources}", "{sources} なし")
        notes.append(without.fill(sources=some(chunk.unavailable)))
    same = chunk.schema_hash == facts.schema_hash
    schema = f"{chunk.schema_version or '–'} · {(chunk.schema_hash or '–')[:8]}"
    return [
        chunk.chunk_id,
        Markup(f'<span class="state {mood(chunk.state)}">{shown(chunk.state)}</span>'),
        number(chunk.rows),
        chunk.first or NONE,
        chunk.last or NONE,
        schema if same else Markup(f'<span class="state bad">{shown(schema)}</span>'),
        size(chunk.bytes),
        moment(chunk.built),
        listing(notes, "notes") if notes else NONE,
    ]


def _bar(seconds: float | None, longest: float) -> Cell | Markup:
    """A duration in words and as a bar."""
    if seconds is None:
        return NONE
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
