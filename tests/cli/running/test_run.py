"""``g5 run`` used wrongly: one line, an exit code, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import cli

NOBODY = "http://127.0.0.1:9/v2"


G5 = str(Path(sys.executable).with_name("g5"))


def g5(
    folder: Path, *words: str, program: str = G5, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in an empty folder, with a key nobody asks for."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("G5_", "JQUANTS_", "LUIGI_", "SOURCE_", "INDEX_", "DATA_"))
    }
    ours = {"JQUANTS_API_BASE": NOBODY, "JQUANTS_API_KEY": "k", "G5_NOW": "2024-06-29T09:00"}
    return subprocess.run(
        [program, *words],
        cwd=folder,
        env=inherited | ours | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


CASES: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no first day": (("custom", "--config", "day.cfg"), 2, "custom: no first day (give --start"),
    "future": (
        *(("production", "--background", "--end", "2024-06-30"), 2),
        "--end 2024-06-30 lies in the future",
    ),
    "root is a file": (
        *(("production", "--background", "--output", "day.cfg"), 2),
        "day.cfg is not a folder",
    ),
}
FILES = {
    "day.cfg": "[BuildAll]\nchunk_months = 3\n",
}


@pytest.fixture(scope="module")
def refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Path, subprocess.CompletedProcess[str]]]:
    """All cases, two at a time."""
    folders = {name: tmp_path_factory.mktemp("run") for name in CASES}
    for folder in folders.values():
        for name, content in FILES.items():
            (folder / name).write_text(content)
    with ThreadPoolExecutor(2) as pool:
        ended = {
            name: pool.submit(g5, folders[name], "run", *words)
            for name, (words, _, _) in CASES.items()
        }
        return {name: (folders[name], each.result()) for name, each in ended.items()}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused(
    name: str, refused: dict[str, tuple[Path, subprocess.CompletedProcess[str]]]
) -> None:
    """The line says what is wrong; no folder is made."""
    folder, ended = refused[name]
    _, code, said = CASES[name]
    (line,) = ended.stderr.splitlines()
    assert said in line
    assert "error: " in line
    assert (ended.returncode, ended.stdout) == (code, "")
    assert {path.name for path in folder.iterdir()} == set(FILES)


@pytest.mark.parametrize("words", [("custom",), ("merge", "--config", "day.cfg")])
def test_a_file_goes_with_custom_and_custom_with_a_file(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong with a file itself: tests.cli.bad_inputs and test_run_profiles."""
    assert cli.main(["run", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("g5 run: error: --config: goes with custom")


def test_each_layer_of_settings_beats_the_next(tmp_path: Path) -> None:
    """Flag, environment, own file, the file of LUIGI_CONFIG_PATH, luigi.cfg; own days likewise.

    Each names an output root that is a file, and the refusal says which.
    """
    for name in ("luigi", "central", "own"):
        (tmp_path / f"{name}.cfg").write_text(f"[g5]\ndata_output_dir = by_{name}\n")
    with (tmp_path / "own.cfg").open("a") as own:
        own.write("[BuildAll]\nstart = 2024-06-20\nend = 2024-06-19\n")
    central = {"LUIGI_CONFIG_PATH": str(tmp_path / "central.cfg")}
    custom = ("custom", "--config", "own.cfg", "--end", "2024-06-21")
    flag = ("--background", "--g5-data-output-dir", "by_flag")
    runs: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
        "by_luigi": (("merge", "--background"), {}),
        "by_central": (("merge", "--background"), central),
        "by_own": (custom, central),
        "by_environment": (custom, central | {"DATA_OUTPUT_DIR": "by_environment"}),
        "by_flag": ((*custom, *flag), central | {"DATA_OUTPUT_DIR": "by_environment"}),
    }
    for name in runs:
        (tmp_path / name).touch()
    with ThreadPoolExecutor(2) as pool:
        ended = {
            name: pool.submit(g5, tmp_path, "run", *words, **environment)
            for name, (words, environment) in runs.items()
        }
    for name, each in ended.items():
        (line,) = each.result().stderr.splitlines()
        assert f"data_output_dir {tmp_path}/{name}: " in line
        assert each.result().returncode == 2
