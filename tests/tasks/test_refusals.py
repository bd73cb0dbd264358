"""Wrong use and wrong circumstances: one line, an exit code, nothing written, nobody asked."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pipeline.manifest import from_json, to_json
from tests.tasks.commands import NOBODY, PROJECT, Ended, Home
from tests.tasks.conftest import RANGE


@dataclass(frozen=True)
class Case:
    """A command that must be refused.

    Attributes:
        words: task and flags.
        code: exit code.
        said: what its one line must contain, every word of it.
        environment: changes; ``{folder}`` stands for a folder of the case.
        asks: the API may be asked before the refusal.
        files: content of files in the case's folder.
    """

    name: str
    words: tuple[str, ...]
    code: int
    said: tuple[str, ...]
    environment: dict[str, str | None] = field(default_factory=dict)
    asks: bool = False
    files: dict[str, str] = field(default_factory=dict)


BUILD = ("BuildAll", *RANGE)
NO_SESSION = ("BuildAll", "--start", "2024-01-01", "--end", "2024-01-03")
CASES = (
    # The slowest first: it gives up only after half a minute of patience.
    Case(
        "unreachable", BUILD, 30, ("/markets/calendar", "connection failed", "run again later"),
        {"JQUANTS_API_BASE": NOBODY}, asks=True,
    ),
    Case(
        "end before start", ("BuildAll", "--start", "2024-03-02", "--end", "2024-03-01"), 2,
        ("--end 2024-03-01", "before --start 2024-03-02"),
    ),
    Case(
        "future", ("BuildAll", "--start", "2024-03-02", "--end", "2024-06-30"), 2,
        ("--end 2024-06-30", "future", "2024-06-29"),
    ),
    Case("no session", NO_SESSION, 2, ("no session", "2024-01-01"), asks=True),
    Case(
        "malformed date", ("BuildAll", "--start", "2024-13-01", "--end", "2024-03-01"), 2,
        ("'2024-13-01'", "YYYY-MM-DD"),
    ),
    Case("malformed flag", (*BUILD, "--force", "perhaps"), 2, ("'perhaps'", "true or false")),
    Case("unknown plan", BUILD, 2, ("plan 'gold'", "premium"), {"PLAN": "gold"}),
    Case(
        "unknown cache mode", (*BUILD, "--g5-source-cache-mode", "write"), 2,
        ("source_cache_mode 'write'", "read_write"),
    ),
    Case(
        "malformed setting", BUILD, 2,
        ("index_option_parallel_concurrency 'many'", "whole number from 1 to 200"),
        {"INDEX_OPTION_PARALLEL_CONCURRENCY": "many"},
    ),
    Case(
        "unknown option", BUILD, 2, ("data_outptu_dir", "did you mean data_output_dir"),
        {"LUIGI_CONFIG_PATH": "{folder}/own.cfg"},
        files={"own.cfg": "[g5]\ndata_outptu_dir = here\n"},
    ),
    Case(
        "root is a file", BUILD, 2, ("output", "is not a folder"), {"DATA_OUTPUT_DIR": "{folder}/f"},
        files={"f": ""},
    ),
    Case(
        "root below a file", BUILD, 2, ("output", "is not a folder"),
        {"DATA_OUTPUT_DIR": "{folder}/f/below/it"}, files={"f": ""},
    ),
    Case(
        "lock is a folder", ("BuildAll", *RANGE), 30, ("build.lock", "folder"), asks=True,
        files={"output/run/build.lock/x": ""},
    ),
    Case(
        "no key", BUILD, 2, ("JQUANTS_API_KEY is not set", "export", "bin/demo.sh"),
        {"JQUANTS_API_KEY": None},
    ),
    Case(
        "malformed address", BUILD, 2, ("JQUANTS_API_BASE",), {"JQUANTS_API_BASE": "http://[x/v2"}
    ),
    Case("wrong key", BUILD, 30, ("HTTP 403", "JQUANTS_API_KEY"), {"JQUANTS_API_KEY": "k"}, True),
    # With the plan to be found out first; nothing of it is kept either.
    Case(
        "wrong key, no plan", BUILD, 30, ("HTTP 403", "JQUANTS_API_KEY"),
        {"JQUANTS_API_KEY": "k", "PLAN": None}, asks=True,
    ),
    Case("no session, no plan", NO_SESSION, 2, ("no session",), {"PLAN": None}, asks=True),
    Case("malformed origin", BUILD, 2, ("origin 'vendor'", "api, simulator"), {"ORIGIN": "vendor"}),
    Case(
        "simulator for the vendor", BUILD, 2, ("expected origin api", "synthetic", "--g5-origin"),
        {"ORIGIN": "api"}, asks=True,
    ),
    Case("malformed moment", BUILD, 2, ("G5_NOW 'soon'",), {"G5_NOW": "soon"}),
    Case("nothing to merge", ("MergeChunks",), 20, ("no chunk in", "BuildAll")),
    Case("half a range", ("MergeChunks", "--end", "2024-03-01"), 2, ("--start", "missing")),
)  # fmt: skip


@pytest.fixture(scope="module")
def quiet_place() -> Iterator[socket.socket]:
    """An address at which nobody is expected to knock."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.setblocking(False)
        yield server


@pytest.fixture(scope="module")
def refused(
    api: str, quiet_place: socket.socket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Home, Future[Ended]]]]:
    """All cases at once, three at a time; each test waits for its own."""
    calm = f"http://127.0.0.1:{quiet_place.getsockname()[1]}/v2"
    with ThreadPoolExecutor(3) as pool:
        runs = {}
        for case in CASES:
            folder = tmp_path_factory.mktemp("refused")
            for name, content in case.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content)
            changes = {
                name: value and value.replace("{folder}", str(folder))
                for name, value in case.environment.items()
            }
            home = Home(folder / "output", api if case.asks else calm, folder, changes)
            runs[case.name] = home, pool.submit(home.run, *case.words)
        yield runs


@pytest.mark.parametrize("case", CASES[::-1], ids=lambda case: case.name)
def test_it_is_refused(
    case: Case, refused: dict[str, tuple[Home, Future[Ended]]], quiet_place: socket.socket
) -> None:
    """One line that says what is wrong and what would do; no file, no request."""
    home, run = refused[case.name]
    ended = run.result()
    lines = [line for line in ended.told if " warning: " not in line]
    assert len(lines) == 1, ended.told
    assert lines[0].startswith("error: ")
    assert not [word for word in case.said if word not in lines[0]], lines[0]
    assert ended.code == case.code
    left = {str(p.relative_to(home.folder)) for p in home.folder.rglob("*") if p.is_file()}
    assert left == set(case.files)
    with pytest.raises(BlockingIOError):
        quiet_place.accept()


def test_a_manifest_that_disagrees_stops_the_run(
    quiet_place: socket.socket, tmp_path: Path
) -> None:
    """A column the catalogue does not make is named before the first request."""
    for folder, pattern in (("pipeline", "*.py"), ("schema", "*.json")):
        for path in (PROJECT / folder).rglob(pattern):
            target = tmp_path / "project" / path.relative_to(PROJECT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    path = tmp_path / "project/schema/feature_schema_manifest.json"
    manifest = from_json(json.loads(path.read_text()))
    fewer = replace(manifest, columns=manifest.columns[:-1])
    path.write_text(json.dumps(to_json(fewer)))
    calm = f"http://127.0.0.1:{quiet_place.getsockname()[1]}/v2"
    search = os.pathsep.join([str(tmp_path / "project"), os.environ.get("PYTHONPATH", "")])
    home = Home(tmp_path / "output", calm, tmp_path, {"PYTHONPATH": search.rstrip(os.pathsep)})
    ended = home.run(*BUILD)
    assert ended.code == 30
    (line,) = ended.told
    assert manifest.columns[-1].name in line
    assert "regenerate the manifest" in line
    assert not home.root.exists()
    with pytest.raises(BlockingIOError):
        quiet_place.accept()


def test_each_layer_of_settings_beats_the_next(tmp_path: Path) -> None:
    """Flag, environment, the file of LUIGI_CONFIG_PATH, luigi.cfg, default, in this order."""
    home = Home(tmp_path / "env", NOBODY, tmp_path)
    (tmp_path / "luigi.cfg").write_text("[g5]\ndata_output_dir = of_folder\n")
    (tmp_path / "own.cfg").write_text("[g5]\ndata_output_dir = of_file\n")
    bare = home.having(DATA_OUTPUT_DIR=None)
    empty = tmp_path / "empty"
    empty.mkdir()
    own = {"LUIGI_CONFIG_PATH": str(tmp_path / "own.cfg")}
    runs = {
        "output": Home(tmp_path, home.url, empty).having(DATA_OUTPUT_DIR=None),
        "of_folder": bare,
        "of_file": bare.having(**own),
        "env": home.having(**own),
        "flag": home.having(**own),
    }
    with ThreadPoolExecutor(2) as pool:
        started = {
            name: pool.submit(
                each.run,
                "MergeChunks",
                *(("--g5-data-output-dir", "flag") if name == "flag" else ()),
            )
            for name, each in runs.items()
        }
    for name, run in started.items():
        (line,) = run.result().told
        assert f"/{name}/chunks" in line
