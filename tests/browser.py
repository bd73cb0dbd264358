"""A real browser for tests of what people look at: Debian's Chromium, without a window.

with page(390, 844, dark=True) as tab:
    tab.goto(url)
    assert tab.inner_text("h1") == "g5"
    keep(tab, "report-phone")
    assert not tab.console_errors
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ARTEFACTS = Path(__file__).parent / "artefacts"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing is asked of the network but what the page itself asks for; root has no sandbox.
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)  # fmt: skip


def chromium() -> str:
    """The path of the browser; ``CHROMIUM`` in the environment names another one.

    Without a browser the test fails: bin/test.sh installs it.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail("no Chromium on this machine: bin/test.sh installs it, or set CHROMIUM")
    return found


@contextmanager
def page(width: int, height: int, *, dark: bool = False) -> Iterator[Page]:
    """A tab of a fresh browser, without cache or history, that closes with the block.

    What the page itself reports as an error is in its ``console_errors``: messages of the
    console, exceptions nobody caught, and requests that failed.

    Args:
        width, height: of the window, in CSS pixels.
        dark: the person prefers dark colours.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=list(_FLAGS)
        )
        try:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
                reduced_motion="reduce",
            )
            tab = context.new_page()
            errors: list[str] = []
            tab.on(
                "console", lambda said: errors.append(said.text) if said.type == "error" else None
            )
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.on("requestfailed", lambda asked: errors.append(f"{asked.url}: {asked.failure}"))
            tab.console_errors = errors  # type: ignore[attr-defined]
            yield tab
        finally:
            browser.close()


def keep(tab: Page, name: str) -> Path:
    """Write what the tab shows to ``tests/artefacts/<name>.png`` and say where."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    tab.screenshot(path=path)
    print(f"screenshot {path}")
    return path
