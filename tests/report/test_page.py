"""The page as text: both languages, nothing from elsewhere, nothing that data could break."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pipeline.report.changes import changes_since
from pipeline.report.data_dictionary import entries
from pipeline.report.page import columns, html
from pipeline.report.report_facts import (
    CorrectionFacts,
    Facts,
    QuarantineFacts,
    RunFacts,
    SourceFacts,
    earlier_of,
    kept,
)
from tests.report.synthetic import facts

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>&\"'{}"
VOID = {"meta", "input", "img", "link", "br", "hr"}


class Page(HTMLParser):
    """Elements of a page, each closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def page_of(made: Facts, before: Facts | None = None, language: str = "auto") -> str:
    """The page, with what changed since an earlier one."""
    earlier = earlier_of(kept(before)) if before else None
    return html(made, changes_since(earlier, made) if earlier else None, language)


def test_the_same_facts_give_the_same_page() -> None:
    """To the last byte: no clock, no order that comes about by chance."""
    assert page_of(facts(2), facts(1)) == page_of(facts(2), facts(1))


def test_a_page_of_five_years_stays_small() -> None:
    """20 quarters, charts, tables, dictionary and libraries: less than 3 MB."""
    made = facts(20)
    size = len(page_of(made, facts(19)).encode())
    assert 1_000_000 < size < 3_000_000
    assert len(json.dumps(kept(made), indent=2)) < 1_000_000


def test_it_needs_nothing_from_elsewhere() -> None:
    """No address in any attribute but those inside the page, and no import in the styles."""
    text = page_of(facts(1))
    for tag, attributes in Page(text).elements:
        assert tag not in ("link", "iframe", "img"), tag
        for name, value in attributes.items():
            assert name not in ("src", "srcset", "action") or not value, (tag, name)
            assert name != "href" or (value or "").startswith("#"), value
    styles = text[: text.index("</style>")]
    assert "@import" not in styles
    assert "url(" not in styles


def test_elements_are_closed_and_ids_unique() -> None:
    """And each link of the navigation leads to a section."""
    page = Page(page_of(facts(2), facts(1)))
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for tag, a in page.elements if tag == "a"]
    assert len(links) > 10
    assert {str(link)[1:] for link in links} <= set(ids)


def test_every_text_is_there_in_both_languages() -> None:
    """Each English span is followed by its Japanese one; Japanese ones hold Japanese, or data."""
    text = page_of(facts(2), facts(1))
    text = text[: text.index('<script type="application/json"')]
    english = re.findall(r'<span lang="en">(.*?)</span><span lang="ja">(.*?)</span>', text)
    assert len(english) == text.count('<span lang="en">') == text.count('<span lang="ja">')
    assert len(english) > 150
    same = {en for en, ja in english if en == ja}
    assert all(re.fullmatch(r"\d{4}-\d\d|\d+ %|J-Quants API", word) for word in same), same


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_opens_in_the_language_asked_for(language: str) -> None:
    """Also for those without a script."""
    assert f'<html lang="{language}" data-open="{language}">' in page_of(facts(1), None, language)


def test_data_never_become_markup() -> None:
    """Hostile texts wherever texts come from outside: errors, reasons, routes, warnings, names."""
    made = facts(2)
    chunk = replace(
        made.chunks[0], reason=HOSTILE, warnings=(HOSTILE,), unavailable=(HOSTILE,), state=HOSTILE
    )
    hostile = replace(
        made,
        chunks=(chunk, made.chunks[1]),
        gate=HOSTILE,
        merge=HOSTILE,
        code_version=HOSTILE,
        dataset=replace(made.dataset, name=HOSTILE),
        sources=(SourceFacts(HOSTILE, True, HOSTILE, HOSTILE, 1, HOSTILE),),
        runs=(RunFacts(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1.0, HOSTILE, HOSTILE, 1, 1, 1),),
        corrections=(CorrectionFacts(HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, 1, 1),),
        quarantine=(
            QuarantineFacts(HOSTILE, "value", HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE),
        ),
    )
    text = page_of(hostile)
    page, clean = Page(text), Page(page_of(made))
    assert page.open == []
    assert "alert('x')" not in text
    assert text.count("<script") == page_of(made).count("<script")
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert sum(HOSTILE in one for one in page.texts) > 10
    assert not any(HOSTILE in one for one in clean.texts)


def test_unreadable_values_are_listed() -> None:
    """Source, field, value, how many, when and the first record; repeated rows beside them."""
    value = QuarantineFacts(
        *("fin_summary", "value", "DEPS", "N/A", 3, "2024-05-10", "2024-05-13"), "DiscNo 7"
    )
    row = replace(value, kind="repeated row", field="", spelling="", count=12, record="Code 13010")
    page = Page(page_of(replace(facts(1), quarantine=(value, row))))
    for text in ("DEPS", "N/A", "3", "2024-05-10", "2024-05-13", "DiscNo 7", "repeated row", "12"):
        assert text in page.texts


def test_without_anything_to_tell_it_says_so() -> None:
    """No runs, no corrections, no options, a first report, all well."""
    made = facts(1)
    chunk = replace(made.chunks[0], warnings=(), profile=None)
    bare = replace(
        made, chunks=(chunk,), sources=(), runs=(), corrections=(), corrected=0, surface=None
    )
    texts = Page(page_of(bare)).texts
    for told in ("No runs recorded.", "None is known of.", "This is the first report."):
        assert told in texts
    assert any(text.startswith("All is well") for text in texts)
    assert any(text.startswith("No option surface") for text in texts)


def test_what_is_wrong_stands_on_top() -> None:
    """With a link to the place."""
    text = page_of(facts(2))
    top = text[text.index('id="findings"') : text.index('id="changes"')]
    for told in ("other rows than the listing", "Content warnings", "sources are unavailable"):
        assert told in top
    assert "failed" not in top  # an earlier run did, the last one did not


def test_synthetic_data_say_so() -> None:
    """In a mark of its own above the title."""
    assert 'class="origin synthetic"' in page_of(facts(1))
    assert 'class="origin synthetic"' not in page_of(facts(1, origin="api"))


def test_the_dictionary_is_whole() -> None:
    """Every column with its definition can be put together again from what the page holds."""
    listed = entries()
    document = columns(listed, {listed[0].column: 0.25})
    texts = document["texts"]
    assert len(texts) == len(set(texts))
    for entry, row in zip(listed, document["rows"], strict=True):
        base, transform, family, formula = (texts[at] for at in row[:4])
        assert base + transform == entry.column
        assert (family, row[5]) == (entry.family, entry.lookback)
        assert formula + (f"; x = {base}" if transform else "") == entry.formula
    assert [row[-1] for row in document["rows"][:2]] == [0.25, -1]
