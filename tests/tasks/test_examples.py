"""The examples run on a built root, as a reader would run them, and do what they say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from tests.tasks.commands import PROJECT, Ended, Home

EXAMPLES = PROJECT / "examples"


def example(home: Home, name: str, *words: str) -> Ended:
    """Run an example to its end."""
    program = f"import runpy; runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__')"
    # Threads of the model that wait for each other cost more than they save on a busy machine.
    return home.having(OMP_NUM_THREADS="1").python(program, "--root", str(home.root), *words)


@pytest.fixture(scope="module")
def baseline() -> ModuleType:
    """examples/baseline.py as a module."""
    spec = importlib.util.spec_from_file_location("baseline", EXAMPLES / "baseline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_a_run_built_can_be_loaded(built: Home) -> None:
    """A real catalogue, real labels and the calendar of the cache; a null label where the future
    was not known, and none at all unless asked for."""
    frame = pipeline.load(columns="family:oscillator", labels=True, root=built.root, format="arrow")
    assert frame.num_rows > 200
    assert len([name for name in frame.column_names if name.startswith("label_")]) == 40
    assert {"rsi_14", "rsi_14_cs_pct"} <= set(frame.column_names)
    then = pipeline.load(
        columns=[], labels="label_ret_cc_1d", as_of="2024-04-01", root=built.root, format="arrow"
    )
    days = then["Date"].cast(pa.string())
    assert pc.max(days).as_py() == "2024-03-29"
    known = then.filter(then["label_ret_cc_1d"].is_valid())
    assert pc.max(known["Date"]).cast(pa.string()).as_py() == "2024-03-28"


def test_the_baseline_reports_the_rank_ic_of_each_fold(built: Home) -> None:
    """Between -1 and 1; the training ends a label and an embargo before the test begins."""
    ended = example(built, "baseline.py", "--folds", "1", "--embargo", "2")
    assert ended.code == 0, ended.told
    (line,) = [line for line in ended.out.splitlines() if line.startswith("fold")]
    found = re.search(r"trained to (\S+), tested (\S+) to (\S+): rank IC ([+-]\S+),", line)
    assert found is not None, line
    assert found[1] < found[2] < found[3]
    assert -1 <= float(found[4]) <= 1
    assert example(built, "baseline.py", "--folds", "9").told[-1].startswith("24 sessions are too")


@given(
    sessions=st.integers(40, 400),
    folds=st.integers(1, 4),
    ahead=st.integers(1, 5),
    embargo=st.integers(0, 2),
)
def test_no_label_of_the_training_reaches_into_the_test(
    baseline: ModuleType, sessions: int, folds: int, ahead: int, embargo: int
) -> None:
    """Purge and embargo by hand: the last exit, and the embargo after it, lie before the first
    test session; tests cover every block after the first, once and in order."""
    found = list(baseline.walk_forward(sessions, folds, ahead=ahead, embargo=embargo))
    assert len(found) == folds
    for fold in found:
        assert fold.train.start == 0
        assert max(fold.train) + ahead + embargo == fold.test.start - 1
    tested = [session for fold in found for session in fold.test]
    assert tested == list(range(found[0].test.start, sessions))


def test_the_tear_sheet_as_text_and_page(built: Home, tmp_path: Path) -> None:
    """The quantiles of a day lie around its mean; the page has the same tables."""
    page = tmp_path / "factor.html"
    words = ("--factor", "ret_prev_5d", "--horizons", "1", "5", "--quantiles", "3")
    ended = example(built, "tear_sheet.py", *words, "--html", str(page))
    assert ended.code == 0, ended.told
    assert ended.told == []
    for heading in ("Return over the mean", "Rank IC", "Turnover", "rank autocorrelation"):
        assert heading in ended.out
        assert heading in page.read_text()
    rows = re.findall(r"^([123]) +(\S+) +(\S+)$", ended.out, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "2", "3"]
    means = [[float(value) for value in row[1:]] for row in rows]
    assert all(min(column) < 0 < max(column) for column in zip(*means, strict=True))


def test_the_query_counts_every_labelled_row_once(built: Home) -> None:
    """Its rows, added up, are those that load finds with both values."""
    ended = example(built, "duckdb_query.py")
    assert ended.code == 0, ended.told
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["month", "quintile", "rows", "mean_bp"]
    table = pipeline.load(
        columns="rsv_20d", labels="label_ret_oo_5d", root=built.root, format="arrow"
    )
    both = pc.and_(table["rsv_20d"].is_valid(), table["label_ret_oo_5d"].is_valid())
    assert sum(int(line[2]) for line in lines[1:]) == pc.sum(both).as_py()
    assert {line[0] for line in lines[1:]} == {"2024-03", "2024-04"}


@pytest.mark.parametrize("name", ["baseline.py", "tear_sheet.py", "duckdb_query.py"])
def test_without_a_dataset_an_example_says_so_in_one_line(
    built: Home, tmp_path: Path, name: str
) -> None:
    """And what to do."""
    ended = example(built, name, "--root", str(tmp_path))
    assert ended.code == 1
    (line,) = ended.told
    assert "run BuildAll, or name its" in line
