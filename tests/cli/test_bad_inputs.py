"""Every bad input an operator may have is told in one line, ends with its code, and costs nothing.

The list with all messages is tests/data/bad_inputs.txt; ``python -m tests.cli.bad_inputs`` prints
it anew.
"""

from __future__ import annotations

import pytest

from tests.cli.bad_inputs import CASES, GOLDEN, Case, place, shown, told_of


def _entries() -> dict[str, str]:
    """What the list says, by case."""
    parts = GOLDEN.read_text("utf-8").split("# ")[1:]
    return {part.splitlines()[0]: f"# {part.rstrip()}\n" for part in parts}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_it_is_told_as_the_list_says_and_nothing_is_lost(case: Case) -> None:
    """The message and the exit code of the list; every file that was there is there as it was."""
    with place() as folder:
        told = told_of(case, folder)
        assert shown(case, told, folder) == _entries()[case.what]
    assert told.lost == ()
    assert told.code != 0


def test_the_list_has_the_cases_and_no_traceback() -> None:
    """In their order; a command that could not do its work says so in a single line."""
    entries = _entries()
    assert list(entries) == [case.what for case in CASES]
    assert "Traceback" not in GOLDEN.read_text("utf-8")
    for entry in entries.values():
        errors = [line for line in entry.splitlines() if "error: " in line]
        assert len(errors) <= 1
        assert not errors or len(entry.splitlines()) == 4
