"""The browser that other tests look with."""

from __future__ import annotations

from pathlib import Path

from tests.browser import keep, page

_PAGE = """<!doctype html><title>t</title><style>
body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }
</style><p id=w></p><img src=gone.png><script>
w.textContent = innerWidth; console.error('said'); nobody()
</script>"""


def test_a_page_is_seen_as_asked_and_its_errors_are_told(tmp_path: Path) -> None:
    """Width and dark colours reach the page; exceptions, messages and missing files are kept."""
    file = tmp_path / "page.html"
    file.write_text(_PAGE)
    with page(390, 844, dark=True) as tab:
        tab.goto(file.as_uri())
        assert tab.inner_text("#w") == "390"
        colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(0, 0, 0)"
        assert keep(tab, "browser").stat().st_size > 0
        told = "\n".join(tab.console_errors)
    assert "said" in told
    assert "gone.png" in told
    assert "nobody is not defined" in told
