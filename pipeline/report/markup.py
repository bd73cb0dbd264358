"""HTML in two languages: every text of the page is a pair, and everything else is escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple


class Text(NamedTuple):
    """A text in English and in Japanese. Both are ours, never data: data go into ``fill``."""

    en: str
    ja: str

    def fill(self, **values: object) -> Text:
        """The text with the values in place of its ``{names}``."""
        texts = {name: str(value) for name, value in values.items()}
        return Text(self.en.format(**texts), self.ja.format(**texts))


#: Of a table or list: our own text, or data as they are.
Cell = Text | str


NONE: Cell = "–"  # where there is nothing to show

_SOME = 12  # names in one sentence


class Markup(str):
    """HTML that is finished: not escaped again."""

    __slots__ = ()


def both(text: Text) -> Markup:
    """The pair; the page shows one of the two."""
    english, japanese = html.escape(text.en), html.escape(text.ja)
    return Markup(f'<span lang="en">{english}</span><span lang="ja">{japanese}</span>')


def shown(cell: Cell | Markup) -> Markup:
    """A cell as HTML."""
    if isinstance(cell, Markup):
        return cell
    return both(cell) if isinstance(cell, Text) else Markup(html.escape(cell))


def attribute(name: str, text: Text) -> str:
    """An attribute whose value follows the language; the page's script sees to that."""
    values = {lang: html.escape(getattr(text, lang)) for lang in ("en", "ja")}
    return (
        f'{name}="{values["en"]}" data-{name}-en="{values["en"]}" data-{name}-ja="{values["ja"]}"'
    )


def table(
    caption: Text,
    heads: Sequence[Text],
    rows: Iterable[Sequence[Cell | Markup]],
    *,
    numbers: Collection[int] = (),
) -> Markup:
    """A table in a box that scrolls by itself, by touch and by keyboard; each row has a heading.

    Args:
        caption: for those who hear the page.
        numbers: columns of figures.
    """
    kinds = [' class="number"' if at in numbers else "" for at in range(len(heads))]
    head = "".join(
        f'<th scope="col"{kind}>{both(text)}</th>' for kind, text in zip(kinds, heads, strict=True)
    )
    lines = []
    for row in rows:
        first, *others = [shown(cell) for cell in row]
        cells = "".join(
            f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], others, strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" data-attributes="aria-label" '
        f"{attribute('aria-label', caption)}><table><caption>{both(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def folded(summary: Text, body: Markup) -> Markup:
    """Something to be opened."""
    return Markup(f"<details><summary>{both(summary)}</summary>{body}</details>")


def paragraph(text: Text, kind: str = "") -> Markup:
    """A paragraph of our own text."""
    return Markup(f"<p{_kind(kind)}>{both(text)}</p>")


def listing(items: Iterable[Cell | Markup], kind: str = "") -> Markup:
    """A list."""
    lines = "".join(f"<li>{shown(item)}</li>" for item in items)
    return Markup(f"<ul{_kind(kind)}>{lines}</ul>")


def figure(chart: str, caption: Cell | Markup, told: Text, note: Markup | str = "") -> Markup:
    """The place of a chart.

    Args:
        chart: its id among the page's charts.
        told: what it shows, for those who do not see it.
        note: shown beside the caption.
    """
    return Markup(
        f"<figure><figcaption>{shown(caption)}{note}</figcaption>"
        f'<div class="chart" id="chart-{chart}" role="img" data-attributes="aria-label" '
        f"{attribute('aria-label', told)}></div></figure>"
    )


def section(name: str, title: Text, *body: Markup) -> Markup:
    """A section that the page's navigation leads to."""
    return Markup(
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{both(title)}</h2>{"".join(body)}</section>'
    )


def data(name: str, document: Any) -> Markup:
    """Data for the page's script. No text in them can end the element."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(f'<script type="application/json" id="{name}">{safe}</script>')


def percent(share: float, digits: int = 1) -> str:
    """A share as people read it; what is not quite nothing or all does not look like it."""
    if 0 < share < 0.5 * 10 ** -(digits + 2):
        return f"<{10**-digits:g} %"
    if 1 - 0.5 * 10 ** -(digits + 2) < share < 1:
        return f">{100 - 10**-digits:g} %"
    return f"{100 * share:.{digits}f} %"


def size(count: int | None) -> str:
    """Bytes."""
    if count is None:
        return "–"
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def number(count: int | None) -> str:
    """A whole number."""
    return "–" if count is None else f"{count:,}"


def moment(text: str | None) -> str:
    """A time as documents write it, to the minute, with its offset."""
    if not text:
        return "–"
    offset = text[19:]
    zone = {"+00:00": "UTC", "Z": "UTC", "+09:00": "JST"}.get(offset, offset)
    return f"{text[:10]} {text[11:16]} {zone}".strip()


def some(names: Sequence[str]) -> str:
    """Names in one sentence, not too many."""
    more = f" … (+{len(names) - _SOME})" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more


def mood(state: str) -> str:
    """Of the state of a chunk or the outcome of a run: good, bad or warn."""
    good = {"completed", "done", "nothing"}
    bad = {"failed", "failed_schema_mismatch", "unreadable", "killed"}
    return "good" if state in good else "bad" if state in bad else "warn"


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
