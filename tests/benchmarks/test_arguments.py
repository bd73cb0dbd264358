"""The command lines of the benchmarks."""

from __future__ import annotations

from types import ModuleType

import labels
import merge
import pytest

from tests.arguments import require_refused


@pytest.mark.parametrize(
    ("benchmark", "words", "said"),
    [
        (merge, "--runs 0", "expected 1 to"),
        (merge, "--chunks 0", "expected 1 to"),
        (merge, "--columns 0", "expected 1 to"),
        (merge, "--rows 2", "expected 3 to"),
        (labels, "--stocks 0", "expected 1 to"),
        (labels, "--stocks 8701", "expected 1 to"),
        (labels, "--work /dev/null/none", "Not a directory"),
        (merge, "--work /dev/null/none", "Not a directory"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    benchmark: ModuleType,
    words: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2 and the reason, before anything is prepared."""
    require_refused(benchmark.main, words, said, monkeypatch, capsys)
