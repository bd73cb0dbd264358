"""Configuration files are checked before anything is done by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.operations.planning import run_profiles
from pipeline.tasks import all_tasks


@pytest.mark.parametrize("name", run_profiles.SHIPPED)
def test_the_profiles_that_come_with_the_package_are_right(name: str) -> None:
    """They are where the package is, and hold nothing unknown."""
    path = run_profiles.shipped(name)
    assert path.is_file()
    run_profiles.check(path, all_tasks())


def test_a_file_of_ones_own_may_use_luigi_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sections of Luigi are Luigi's business; ``${NAME}`` stands for a variable."""
    monkeypatch.setenv("G5_TEST_MONTHS", "6")
    path = tmp_path / "my.cfg"
    path.write_text(
        "[g5]\nsource_cache_tag = v1.0.0\n[core]\nscheduler-url = http://127.0.0.1:8082\n"
        "[BuildAll]\nstart = 2023-01-01\nend = 2023-12-31\nchunk-months = ${G5_TEST_MONTHS}\n"
        "resume = false\n[MergeChunks]\nstart = none\n"
    )
    run_profiles.check(path, all_tasks())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[g5]\nsource_cash_mode = off\n", "source_cash_mode: unknown option (did you mean source_cache_mode?)"),
        (b"[BuildAll]\nlatest = true\n", "[BuildAll] latest: unknown option (did you mean latest_only?)"),
        (b"[buildal]\nlatest_only = true\n", "[buildal]: unknown section (did you mean [BuildAll]?"),
        (b"[BuildAll]\nchunk_months = three\n", "[BuildAll] chunk_months 'three': expected a whole"),
        (b"[BuildAll]\nstart = 2023-13-01\n", "[BuildAll] start '2023-13-01': expected a date"),
        (b"[BuildAll]\nresume = perhaps\n", "[BuildAll] resume 'perhaps': expected true or false"),
        (b"[g5]\nplan = ${G5_NOT_THERE}\n", "G5_NOT_THERE"),
        (b"[BuildAll]\nstart = 50%\n", "[BuildAll] start: "),
        (b"start = 2023-01-01\n", "is no configuration file"),
        (b"[g5]\nplan = free\nplan = light\n", "is no configuration file"),
        (b"\xff\xfe[g5]", "is no configuration file"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """One line: the file, the section, the option, and the nearest right one."""
    path = tmp_path / "my.cfg"
    path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        run_profiles.check(path, all_tasks())
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"), [("gone.cfg", "does not exist"), ("my.yaml", "named like my.cfg"),
                       ("folder.cfg", "cannot be read")]
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """Missing, of another kind, a folder."""
    (tmp_path / "folder.cfg").mkdir()
    with pytest.raises(UsageError, match=said):
        run_profiles.check(tmp_path / name, all_tasks())
