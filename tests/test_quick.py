"""``bin/test.sh --quick``, which leaves out slow tests, still touches every package."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import LONGEST, NOT_QUICK, QUICK_TASKS, is_quick

PROJECT = Path(__file__).parents[1]


def test_every_package_is_imported_by_a_quick_test() -> None:
    """One of its modules, or the package itself."""
    imported = set()
    for path in (PROJECT / "tests").rglob("test_*.py"):
        if is_quick(str(path.relative_to(PROJECT))):
            imported |= set(
                re.findall(r"^(?:from|import) (pipeline[\w.]*)", path.read_text(), re.MULTILINE)
            )
    packages = {
        ".".join(path.parent.relative_to(PROJECT).parts)
        for path in (PROJECT / "pipeline").rglob("__init__.py")
    }
    untouched = {
        package
        for package in packages
        if not any(f"{name}.".startswith(f"{package}.") for name in imported)
    }
    # Nothing imports these two: commands of g5, called by name, and settings.
    assert untouched <= {"pipeline.cli.running", "pipeline.profiles"}
    assert is_quick("tests/cli/running/test_run.py")


def test_what_is_named_exists() -> None:
    for name in (*LONGEST, *NOT_QUICK, *QUICK_TASKS):
        assert (PROJECT / name).exists(), name
