"""Where trials begin: prepared roots, and what the run that is disturbed there must come to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.crash.result import Result, result_of
from tests.tasks.commands import EVERYTHING, FEW_SOURCES, PROJECT, Home, simulator

NAMES = ("no cache", "no chunks", "rebuild", "growing")
PATIENCE_S = 1200.0
STRIKES = Path(__file__).with_name("failing")
_MARKET = ("--stocks", "8", "--start", "2024-01-04", "--end", "2024-06-28")
#: Statements are asked for by day, over years: too long for an empty cache in every fourth trial.
_SOURCES = {name: f"{sources},fin_summary" for name, sources in FEW_SOURCES.items()}
#: Over the end of a quarter, as of the next morning; the day that a running quarter then grows by.
_FIRST, _LAST, _NOW = "2024-03-21", "2024-04-03", "2024-04-04T08:00"
_GROWN, _LATER = "2024-04-04", "2024-04-05T08:00"


@dataclass(frozen=True)
class Scene:
    """A starting state and a run.

    Attributes:
        name: what there is at first.
        home: the prepared root with the environment of the run; not to be written to.
        parts: of its tree, that a trial begins with.
        words: of the command that is disturbed.
        again: of the plain run after it.
        expected: what the run comes to when nobody disturbs it.
        seconds: how long that takes.
        calls: what it does below the root: a letter per call, see ``failing/sitecustomize.py``.
        growth: bytes it adds.
    """

    name: str
    home: Home
    parts: tuple[str, ...]
    words: tuple[str, ...]
    again: tuple[str, ...]
    expected: Result
    seconds: float
    calls: str
    growth: int

    def begin(self, folder: Path) -> Home:
        """A fresh root in this state, in a folder of its own."""
        folder.mkdir(parents=True)
        home = self.home.copy(folder / "output", *self.parts)
        home.root.mkdir(exist_ok=True)
        return home

    def fill(self, root: Path) -> Home:
        """The same on another file system, where nothing can be shared."""
        marks = [f"run/{mark.name}" for mark in (self.home.root / "run").glob("kernels-*")]
        for part in (*self.parts, *marks):
            source = self.home.root / part
            if source.is_dir():
                shutil.copytree(source, root / part, symlinks=True)
            else:
                (root / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, root / part, follow_symlinks=False)
        return replace(self.home, root=root, folder=root.parent)


def striking(home: Home, fault: str = "") -> Home:
    """The same root, whose calls are counted, and one of which goes wrong."""
    return home.having(
        PYTHONPATH=str(STRIKES),
        CRASH_ROOT=str(home.root),
        CRASH_COUNT=str(home.folder / "calls"),
        CRASH_FAULT=fault,
    )


def scene(
    name: str,
    home: Home,
    parts: Sequence[str],
    words: Sequence[str],
    again: Sequence[str],
    expected: Result | None,
    folder: Path,
) -> Scene:
    """A scene, once its run went undisturbed: measured, and with its own result.

    Args:
        expected: where it is known already, the undisturbed run must come to it too.
        folder: a new one, for that run.
    """
    blank = Scene(name, home, tuple(parts), tuple(words), tuple(again), None, 0, "", 0)  # type: ignore[arg-type]
    trial = blank.begin(folder)
    before = used(trial.root)
    began = time.monotonic()
    ended = striking(trial).run(*words, patience_s=PATIENCE_S)
    seconds = time.monotonic() - began
    assert ended.code == 0, (name, ended.told)
    result = result_of(trial)
    assert expected is None or not result.unlike(expected), (name, result.unlike(expected))
    calls = (folder / "calls").read_text()
    growth = used(trial.root) - before
    shutil.rmtree(folder)
    return replace(blank, expected=result, seconds=seconds, calls=calls, growth=growth)


@contextmanager
def scenes(folder: Path, names: Collection[str] = NAMES) -> Iterator[list[Scene]]:
    """The scenes of these names, on a small market of their own, whose server runs meanwhile.

    The first build compiles the kernels, which takes a minute or more.
    """
    with simulator(*_MARKET) as url:
        built = Home(folder / "built/output", url, PROJECT, {**_SOURCES, "G5_NOW": _NOW})
        days = ("--start", _FIRST, "--end", _LAST, "--workers", "2")
        first = built.run("BuildAll", *days, patience_s=PATIENCE_S)
        assert first.code == 0, first.told
        expected = result_of(built)
        build = ("BuildAll", *days)
        grow = ("BuildAll", "--start", _FIRST, "--end", _GROWN, "--workers", "2")
        later = built.having(G5_NOW=_LATER)
        # Root, parts of it, disturbed run, plain run after it, what comes out if that is known.
        recipes = {
            "no cache": (built, (), build, build, expected),
            "no chunks": (built, ("cache",), build, build, expected),
            "rebuild": (built, EVERYTHING, (*build, "--force"), build, expected),
            "growing": (later, EVERYTHING, grow, grow, None),
        }
        yield [
            scene(name, *recipes[name], folder=folder / f"scene-{number}")
            for number, name in enumerate(NAMES)
            if name in names
        ]


def used(root: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
