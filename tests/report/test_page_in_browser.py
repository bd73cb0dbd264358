"""The page as people meet it: in a real browser, on a phone and on a desk, by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from pipeline.report.changes import changes_since
from pipeline.report.data_dictionary import entries
from pipeline.report.page import html
from pipeline.report.report_facts import earlier_of, kept
from tests.browser import keep, page
from tests.report.synthetic import facts

DRAWN = "html[data-drawn=all]"
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report on the disk; nothing serves it."""
    file: Path = tmp_path_factory.mktemp("report") / "latest.html"
    made, before = facts(4), earlier_of(kept(facts(3)))
    file.write_text(html(made, changes_since(before, made)), "utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def tab(address: str) -> Iterator[Page]:
    """One browser for all; each test takes the device it is about."""
    with page(1280, 900) as made:
        made.set_default_timeout(PATIENCE_MS)
        made.goto(address)
        yield made


def on(tab: Page, device: str) -> Page:
    """The page newly opened on a phone that prefers dark colours, or on a desk that does not."""
    phone = device == "phone"
    tab.set_viewport_size(
        {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
    )
    tab.emulate_media(color_scheme="dark" if phone else "light")
    tab.reload()
    tab.wait_for_selector(DRAWN)
    tab.evaluate("scrollTo(0, 0)")  # a browser goes back to where one was
    return tab


def count(tab: Page) -> str:
    return tab.inner_text("#count")


@pytest.mark.parametrize("device", ["phone", "desk"])
def test_it_shows_without_an_error(device: str, tab: Page) -> None:
    """Every chart is drawn, the console is silent, and nothing sticks out sideways."""
    on(tab, device)
    charts = tab.locator(".chart")
    assert charts.count() > 15
    empty = tab.evaluate(
        "[...document.querySelectorAll('.chart')].filter(c => !c.querySelector('svg path')).map(c => c.id)"
    )
    assert empty == []
    wide = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    assert tab.console_errors == []
    keep(tab, f"report-{device}")
    tab.locator("#coverage").scroll_into_view_if_needed()
    keep(tab, f"report-{device}-coverage")


def test_dark_is_dark(tab: Page) -> None:
    """Page and charts: light text on a dark ground, and the other way round, at once."""
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    text = "getComputedStyle(document.querySelector('#chart-nulls text')).fill.match(/\\d+/g)"
    label = f"{text}.map(Number)"
    on(tab, "phone")
    assert max(tab.evaluate(ground)) < 60 < 130 < min(tab.evaluate(label))
    tab.emulate_media(color_scheme="light")
    tab.wait_for_function(f"Math.max(...{label}) < 130")
    assert min(tab.evaluate(ground)) > 200
    tab.wait_for_selector(DRAWN)


def test_the_language_switches(tab: Page) -> None:
    """Texts, names for those who hear the page, and hints; and back. It is remembered."""
    phone = on(tab, "phone")
    assert phone.inner_text("h1") == "Dataset report"
    phone.click("[data-language=ja]")
    assert phone.inner_text("h1") == "データセットレポート"
    assert phone.get_attribute("html", "lang") == "ja"
    assert phone.get_attribute("#search", "placeholder") == "列名・式・入力・単位"
    assert "ヒートマップ" in (phone.get_attribute("#chart-nulls", "aria-label") or "")
    assert phone.get_attribute("[data-language=ja]", "aria-pressed") == "true"
    assert "列を表示" in count(phone)
    phone.wait_for_selector(DRAWN)
    keep(phone, "report-phone-japanese")
    phone.reload()
    assert phone.inner_text("h1") == "データセットレポート"
    phone.click("[data-language=en]")
    assert phone.inner_text("h1") == "Dataset report"
    phone.wait_for_selector(DRAWN)


def test_the_dictionary_is_searched(tab: Page) -> None:
    """By all words, among base columns or all; what is found opens to its definition."""
    desk = on(tab, "desk")
    base = sum(not entry.transform for entry in entries())
    assert count(desk) == f"50 of {base} columns shown"
    desk.fill("#search", "RET_PREV 5d")
    found = [
        entry.column
        for entry in entries()
        if not entry.transform
        and all(word in f"{entry.column} {entry.formula}".lower() for word in ("ret_prev", "5d"))
    ]
    assert 1 < len(found) < 50
    listed = desk.locator("#columns summary code").all_inner_texts()
    assert set(listed) == set(found)
    assert listed[0] == "ret_prev_5d"  # the others only speak of it
    desk.check("#derived")
    derived = [entry.column for entry in entries() if entry.base == "ret_prev_5d"]
    assert set(derived) <= set(desk.locator("#columns summary code").all_inner_texts())
    desk.fill("#search", "ret_prev_5d_cs_rank")
    desk.click("#columns summary")
    (entry,) = [entry for entry in entries() if entry.column == "ret_prev_5d_cs_rank"]
    assert entry.formula in desk.inner_text("#columns dl")
    desk.fill("#search", "")
    assert count(desk) == f"50 of {len(entries())} columns shown"
    desk.select_option("#family", "gap")
    gap = sum(entry.family == "gap" for entry in entries())
    assert count(desk).endswith(f"of {gap} columns shown")
    desk.fill("#search", "<b>no such column</b>")
    assert count(desk) == "0 of 0 columns shown"


def test_charts_tell_their_figures(tab: Page) -> None:
    """Under the mouse; and to those without one in the tables."""
    desk = on(tab, "desk")
    desk.locator("#chart-nulls").scroll_into_view_if_needed()
    desk.locator("#chart-nulls .mark-rect path").first.hover()
    desk.wait_for_selector("#tip:not([hidden])")
    assert "identity" in desk.inner_text("#tip")
    keep(desk, "report-desk-nulls")
    desk.mouse.move(5, 5)
    assert desk.evaluate(
        "[...document.querySelectorAll('.chart')].every(c => c.getAttribute('role') === 'img' && c.getAttribute('aria-label'))"
    )
    assert desk.locator("#nulls table tbody tr").count() > 30


def test_the_keyboard_reaches_everything(tab: Page) -> None:
    """First the way past the navigation, then each control and each box that scrolls, in order;
    where the focus is can be seen."""
    desk = on(tab, "desk")
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.className") == "skip"
    assert desk.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    wanted = desk.evaluate(
        """() => {
          const all = document.querySelectorAll('a[href], button, input, select, summary, .scroll');
          const seen = [...all].filter((e) => e.checkVisibility());
          seen.forEach((e, at) => { e.dataset.at = at; });
          return seen.length;
        }"""
    )
    reached, unseen = [0], []
    for _ in range(wanted - 1):
        desk.keyboard.press("Tab")
        at, outline = desk.evaluate(
            "[+document.activeElement.dataset.at,"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(at)
        unseen += [at] if outline == "none" else []
    assert reached == list(range(wanted))
    assert unseen == []
    desk.focus(".skip")
    desk.keyboard.press("Enter")
    assert desk.evaluate("document.activeElement.id") == "main"
