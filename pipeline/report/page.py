"""The report as one page that needs nothing else: styles, script, charts and both languages inside.

The page is made of facts alone, so the same facts give the same bytes. Without its script it still
shows every table and figure; the script draws the charts, searches the dictionary and switches
the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from pipeline.report import charts, data_quality_section, operations_section, summary_section
from pipeline.report.changes import Changes
from pipeline.report.data_dictionary import Entry, entries
from pipeline.report.markup import Markup, Text, attribute, both, data, section
from pipeline.report.report_facts import Facts

_LIBRARIES = ("vega.min.js", "vega-lite.min.js")
_NAVIGATION = (
    ("findings", Text("At a glance", "概況")),
    ("changes", Text("Changes", "変化")),
    ("coverage", Text("Coverage", "カバレッジ")),
    ("nulls", Text("Null rates", "欠損率")),
    ("chunks", Text("Chunks", "チャンク")),
    ("runs", Text("Runs", "実行履歴")),
    ("drift", Text("Drift", "推移")),
    ("market", Text("Market", "市場")),
    ("sources", Text("Sources", "ソース")),
    ("quarantine", Text("Unreadable values", "読めない値")),
    ("corrections", Text("Corrections", "訂正")),
    ("dictionary", Text("Dictionary", "データ辞書")),
)


def html(facts: Facts, changes: Changes | None, language: str = "auto") -> str:
    """The page.

    Args:
        changes: since the last report; None for the first one.
        language: it opens in: en, ja, or auto for that of the browser.

    """
    drawn = charts.all_of(facts.profiles, facts.surface)
    body = [
        summary_section.findings(facts),
        summary_section.changes(changes),
        data_quality_section.coverage(facts),
        data_quality_section.nulls(facts),
        operations_section.chunks(facts),
        operations_section.runs(facts.runs),
        data_quality_section.drift(facts, drawn),
        data_quality_section.market(facts, drawn),
        operations_section.sources(facts),
        operations_section.quarantine(facts),
        operations_section.corrections(facts),
        _dictionary(),
    ]
    first = "en" if language == "auto" else language
    title = Text("g5 dataset report", "g5 データセットレポート")
    return f"""<!doctype html>
<html lang="{first}" data-open="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{getattr(title, first)} · {facts.dataset.first} – {facts.dataset.last}</title>
<style>{_asset("page.css")}</style>
</head>
<body>
<a class="skip" href="#main">{both(Text("Skip to the report", "本文へ"))}</a>
<header>
<div class="top"><strong>g5</strong>{_switch()}</div>
{summary_section.head(facts)}
{_navigation()}
</header>
<main id="main" tabindex="-1">
<noscript><p class="bad">{both(_WITHOUT_SCRIPT)}</p></noscript>
{"".join(body)}
</main>
{data("charts", drawn)}
{data("entries", columns(entries(), facts.dataset.null_rates))}
{"".join(f"<script>{_library(name)}</script>" for name in _LIBRARIES)}
<script>{_asset("page.js")}</script>
</body>
</html>
"""


def columns(listed: list[Entry], null_rates: Mapping[str, float]) -> dict[str, Any]:
    """The dictionary for the page's script, where each text stands once.

    ``texts`` holds them; an entry is a list of positions in it, in the order of ``fields``, with
    its numbers as they are and its null rate at the end (-1 without one). A derived column names
    only what differs from its base and its transform by the text ``formula``.
    """
    texts: dict[str, int] = {}

    def place(text: str) -> int:
        return texts.setdefault(text, len(texts))

    rows = []
    for entry in listed:
        # "...; x = base" would be another text for every derived column.
        formula = entry.formula.removesuffix(f"; x = {entry.base}")
        rate = null_rates.get(entry.column)
        rows.append(
            [
                *map(place, (entry.base, entry.transform, entry.family, formula, entry.inputs)),
                entry.lookback,
                *map(place, (entry.available, entry.dtype, entry.unit, entry.null_rule)),
                place(entry.reference),
                -1 if rate is None else round(rate, 4),
            ]
        )
    return {"texts": list(texts), "rows": rows}


def _dictionary() -> Markup:
    """The place of the data dictionary; the script fills it."""
    searched = Text("Search columns", "列を検索")
    again = Text("Show more", "さらに表示")
    hint = Text("name, formula, input, unit", "列名・式・入力・単位")
    return section(
        "dictionary",
        Text("Data dictionary", "データ辞書"),
        Markup(
            '<form class="search" role="search">'
            f"<label>{both(searched)}"
            f'<input type="search" id="search" autocomplete="off" data-attributes="placeholder" '
            f"{attribute('placeholder', hint)}></label>"
            f"<label>{both(Text('Family', 'ファミリー'))}"
            f'<select id="family"><option value="">–</option></select></label>'
            f'<label class="check"><input type="checkbox" id="derived">'
            f"{both(Text('with derived columns', '派生列も表示'))}</label></form>"
            '<p><output id="count" for="search family derived" aria-live="polite"></output></p>'
            '<ul id="columns" class="columns"></ul>'
            f'<button type="button" id="more" hidden>{both(again)}</button>'
        ),
    )


def _switch() -> Markup:
    label = Text("Language", "言語")
    return Markup(
        f'<div class="languages" role="group" data-attributes="aria-label" '
        f"{attribute('aria-label', label)}>"
        '<button type="button" data-language="en" lang="en-US">English</button>'
        '<button type="button" data-language="ja" lang="ja-JP">日本語</button></div>'
    )


def _navigation() -> Markup:
    links = "".join(f'<a href="#{name}">{both(text)}</a>' for name, text in _NAVIGATION)
    label = Text("Sections", "目次")
    return Markup(
        f'<nav data-attributes="aria-label" {attribute("aria-label", label)}>{links}</nav>'
    )


def _asset(name: str) -> str:
    return resources.files("pipeline.report").joinpath("assets", name).read_text("utf-8")


def _library(name: str) -> str:
    """A library without the line that points at a file which is not there."""
    return _asset(name).partition("//# sourceMappingURL")[0].replace("</script", "<\\/script")


_WITHOUT_SCRIPT = Text(
    "Charts, search and the language switch need JavaScript; every table is here without it.",
    "グラフ・検索・言語の切り替えには JavaScript が必要です。表はすべてそのまま読めます。",
)
