"""The command lines of the benchmarks."""

from __future__ import annotations

import sys
from types import ModuleType

import labels
import merge
import pytest


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
    monkeypatch.setattr(sys, "argv", ["program", *words.split()])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
