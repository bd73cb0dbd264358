"""What hosts are set up with: the units of systemd, and the container file."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.tasks.commands import PROJECT

UNITS = ("luigid.service", "g5-worker.service")
G5 = Path(sys.executable).with_name("g5")


def settings(unit: str) -> dict[str, str]:
    """The last value of every key."""
    text = (PROJECT / "bin" / unit).read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """In the root folder, where no package lies about."""
    return subprocess.run(
        [str(word) for word in command],
        cwd="/",
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    """It only warns of an unknown key or value, so nothing must be said."""
    text = (PROJECT / "bin" / unit).read_text().replace("/opt/g5/.venv/bin", str(G5.parent))
    (tmp_path / unit).write_text(text)
    checked = run("systemd-analyze", "verify", "--man=no", tmp_path / unit)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    (tmp_path / unit).write_text(text.replace("Restart=", "Rstart="))
    assert "Rstart" in run("systemd-analyze", "verify", "--man=no", tmp_path / unit).stderr


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_of_a_unit_exists(unit: str) -> None:
    """With its flags; where it listens or joins is given by the operator."""
    program, command, *flags = shlex.split(settings(unit)["ExecStart"])
    assert program == "/opt/g5/.venv/bin/g5"
    told = run(G5, command, "--help").stdout
    assert flags[0] in told


def test_a_worker_may_finish_what_it_has() -> None:
    """Only its main process is asked; it is not started again where that cannot help; and its
    kernels may be compiled."""
    worker, luigid = settings("g5-worker.service"), settings("luigid.service")
    assert (worker["KillMode"], worker["KillSignal"]) == ("mixed", "SIGTERM")
    assert int(worker["TimeoutStopSec"].removesuffix("min")) >= 10
    assert worker["OOMPolicy"] == "continue"
    assert "MemoryDenyWriteExecute" not in worker
    for unit in (worker, luigid):
        assert (unit["Restart"], unit["RestartPreventExitStatus"]) == ("on-failure", "2")
        assert unit["EnvironmentFile"] == "/etc/g5/g5.env"


@pytest.mark.slow
def test_the_container_file_builds_the_package(tmp_path: Path) -> None:
    """Its steps, in a folder and an environment of their own: there is no container here.

    What it copies is enough to install, and the command it starts with works from anywhere. What
    the package requires comes from the environment of the tests.
    """
    steps = re.findall(
        r"^([A-Z]+) (.*)$", (PROJECT / "Containerfile").read_text(), flags=re.MULTILINE
    )
    context, python = tmp_path / "src", tmp_path / "venv/bin/python"
    context.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    for step, words in steps:
        if step == "COPY":
            *sources, target = words.split()
            for name in sources:
                copy(PROJECT / name, context / target / ("" if target != "./" else name))
        elif step == "RUN" and "pip install" in words:
            assert words.split()[-1] == "'.[objectstore]'"
            pip = ("-m", "pip", "--python", python, "install", "--no-deps")
            made = run(sys.executable, *pip, "--quiet", "--disable-pip-version-check", context)
            assert made.returncode == 0, made.stderr
    packages = next((tmp_path / "venv/lib").glob("python*")) / "site-packages"
    (packages / "required.pth").write_text(sysconfig.get_path("purelib"))
    (entry,) = [words for step, words in steps if step == "ENTRYPOINT"]
    assert entry == '["g5"]'
    program = python.with_name("g5")
    where = run(python, "-c", "import pipeline; print(pipeline.__file__)").stdout
    assert where.startswith(str(packages)), where
    ended = run(program, "worker", "--scheduler-url", "http://127.0.0.1:9", "--output", tmp_path)
    assert ended.returncode == 30, ended.stderr
    assert "does not answer" in ended.stderr, "it got as far as the manifest and its schema"


def copy(source: Path, target: Path) -> None:
    """As COPY does; compiled files aside, as nothing is compiled in a fresh checkout."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)
