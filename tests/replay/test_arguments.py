"""The command line of the mornings."""

from __future__ import annotations

import pytest

from tests.arguments import require_refused
from tests.replay.__main__ import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--mornings 0", "expected 1 to"),
        ("--first 2024-02-30", "expected YYYY-MM-DD"),
        ("--stocks 3", "expected 4 to"),
        ("--history-days -1", "expected 1 to"),
        ("--corrections 2", "expected 0 to 1"),
        ("--work /there/is/none", "no such folder"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    words: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2 and the reason, before anything is prepared."""
    require_refused(main, words, said, monkeypatch, capsys)
