"""``g5 dictionary``: every column of the catalogue, printed or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import cli
from pipeline.features.engine import catalogue


def test_printed_and_written_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each feature of the catalogue is in it."""
    path = tmp_path / "dictionary.md"
    assert cli.main(["dictionary"]) == 0
    printed = capsys.readouterr().out
    assert cli.main(["dictionary", "--output", str(path)]) == 0
    assert path.read_text() == printed
    assert not [f.name for f in catalogue.features() if f.name not in printed]


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path is named."""
    (tmp_path / "file").write_text("")
    assert cli.main(["dictionary", "--output", str(tmp_path / "file" / "x.md")]) == 30
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "file" in err
