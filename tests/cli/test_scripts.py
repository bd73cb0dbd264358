"""The scripts in ``bin/``: they prepare the environment and hand everything on to g5."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.running.test_run import g5
from tests.tasks.commands import PROJECT


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose environment is ready: the one the tests run in."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "bin", project / "bin")
    for name in ("setup.cfg", "setup.py"):
        shutil.copy(PROJECT / name, project / name)
    commands = project / ".venv/bin"
    commands.mkdir(parents=True)
    for name in ("g5", "pip", "python"):
        (commands / name).symlink_to(Path(sys.executable).with_name(name))
    content = b"".join((project / name).read_bytes() for name in ("setup.cfg", "setup.py"))
    stamp = f"{hashlib.sha256(content).hexdigest()}  -\n"
    (project / ".venv/installed-").write_text(stamp)
    return project


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run.sh", "custom"), 2, "g5 run: error: --config: goes with custom"),
        (("daily.sh", "--wait", "long"), 2, "'long': expected 0 to 1440"),
        (("health_check.sh", "--output", "none"), 1, "none: no dataset; run g5 run production"),
        (("luigid.sh", "--stop", "--output", "none"), 20, "none: not running"),
    ],
)
def test_arguments_go_in_and_the_exit_code_comes_out(
    project: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """From any working directory; the project's folder is where they work."""
    script, *arguments = words
    ended = g5(tmp_path, *arguments, program=str(project / "bin" / script))
    assert ended.returncode == code, ended.stderr
    assert said in ended.stdout + ended.stderr
    assert not list(tmp_path.iterdir())
