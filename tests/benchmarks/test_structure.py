"""The rooms of the package stay small, and a name leads to one place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import structure

from tests.benchmarks import FOLDER

ROOT = FOLDER.parent


@pytest.fixture(scope="module")
def modules() -> list[Path]:
    return [path for path in (ROOT / "pipeline").rglob("*.py") if not path.name.startswith("__")]


def test_no_folder_has_more_than_fifteen_modules(modules: list[Path]) -> None:
    """More than that nobody finds a way in."""
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder, count in Counter(path.parent for path in modules).items()
        if count > 15
    }
    assert crowded == {}


def test_no_module_name_stands_in_two_packages(modules: list[Path]) -> None:
    """A search for a name has one answer."""
    assert [name for name, count in Counter(p.stem for p in modules).items() if count > 1] == []


def test_the_numbers_are_those_of_a_small_package(tmp_path: Path) -> None:
    """Lines without comments and docstrings, a circle, a name in two places."""
    package = tmp_path / "pipeline"
    (package / "room").mkdir(parents=True)
    (package / "one.py").write_text('"""Text."""\n\nfrom pipeline.room import two\n\nX = 1  # x\n')
    (package / "room" / "two.py").write_text(
        "import pipeline.one\n\n\ndef f():\n    # why\n    return 1\n\n\ndef g():\n    return 2\n"
    )
    (package / "room" / "one.py").write_text("")
    lines = list(structure.report(tmp_path, "pipeline"))
    assert "pipeline/room                                       2       10        5" in lines
    assert "module names in more than one place: 1  one" in lines
    assert lines[-2:] == ["circles of imports: 1", "  pipeline.one pipeline.room.two"]
