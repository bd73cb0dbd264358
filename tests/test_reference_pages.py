"""The generated parts of the reference are those of the code."""

from __future__ import annotations

import pytest

from tests.reference_pages import PROJECT, pages


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_the_page_is_current(path):
    assert path.read_text("utf-8") == pages()[path], "run: python -m tests.reference_pages"
