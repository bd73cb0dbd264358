"""The documents as programs: their command blocks, run in order as a reader would run them.

A block opens with ``bash runnable``; ``exit=3`` behind it, or ``exit=3,1``, lists the exit codes
other than 0 that its commands end with. What the blocks of the Japanese guide print is kept as
golden text, which ``python -m tests.documents`` writes anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psutil

from pipeline.run_state.pid_file import pid_files

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
#: English pages; the blocks of the first two run one after the other in one shell.
ENGLISH = (
    DOCS / "guide" / "first-build.md",
    DOCS / "guide" / "daily.md",
    PROJECT / "README.md",
    *(PROJECT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted(
        {*DOCS.glob("*.md"), *DOCS.glob("guide/*.md"), *DOCS.glob("reference/*.md")}
        - {DOCS / "guide" / "first-build.md", DOCS / "guide" / "daily.md"}
    ),
)
GUIDE = DOCS / "ja" / "guide.md"
JAPANESE = (GUIDE, PROJECT / "README.ja.md")
GOLDEN = PROJECT / "tests" / "data" / "usecases_ja.txt"

#: What the commands of the documents need of the project in their working directory.
_LINKED = ("bin", "luigi.cfg", "setup.cfg", "setup.py")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "NUMBA_CACHE_DIR")
_PATIENCE_S = 1500.0
_OURS = "#documents.py"  # marks the lines between two blocks

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_EVENT = re.compile(r"\d\d:\d\d:\d\d ")
# How many such lines there are depends on speed: a run stopped at once may have no record yet.
_PASSING = re.compile(r"/s, .* left$|compiling| {2}production .* {2}stopped {2}")
_VARYING = (
    (re.compile(r"\d\d:\d\d:\d\d "), "<time> "),
    (re.compile(r"\d{8}T\d{6}Z"), "<moment>"),
    (re.compile(r"_\d{8}_\d{6}\.log"), "_<moment>.log"),
    (re.compile(r"\b[0-9a-f]{16}\b|\b[0-9a-f]{12}\b|\b[0-9a-f]{8}\b"), "<hash>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r"\d+(\.\d+)? (B|kB|MB|GB|TB)\b"), "<size>"),
    (re.compile(r"\b\d+ (h \d\d min|min \d\d s)\b"), "<age>"),
    (re.compile(r"\b\d+(\.\d+)? (s|min|h|d)\b"), "<age>"),
    (re.compile(r" {2,}"), "  "),  # columns are as wide as what varies
)


@dataclass(frozen=True)
class Block:
    """A command block.

    Attributes:
        heading: the nearest one above it.
        line: of the document, where the block opens.
        text: the commands.
        codes: exit codes other than 0, in the order they are to appear.
    """

    document: Path
    heading: str
    line: int
    text: str
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Ran:
    """A block after its run.

    Attributes:
        codes: exit codes other than 0, in order.
        output: what was typed and what was printed.
    """

    block: Block
    codes: tuple[int, ...]
    output: str


def fences(text: str) -> Iterator[tuple[int, str, str]]:
    """Every block of a document: where it begins, its info string, its content."""
    for found in _FENCE.finditer(text):
        yield found.start(), found[1], found[2]


def prose(text: str) -> str:
    """A document without its blocks."""
    return _FENCE.sub("", text)


def runnable(document: Path) -> list[Block]:
    """The marked blocks of a document, in order."""
    text = document.read_text("utf-8")
    blocks = []
    for at, info, content in fences(text):
        language, *marks = info.split() or [""]
        if language != "bash" or "runnable" not in marks:
            continue
        exits = [mark.removeprefix("exit=") for mark in marks if mark.startswith("exit=")]
        codes = tuple(int(code) for mark in exits for code in mark.split(","))
        heading = _HEADING.findall(prose(text[:at]))[-1]
        blocks.append(Block(document, heading, text.count("\n", 0, at) + 1, content, codes))
    return blocks


def run(blocks: Sequence[Block], folder: Path) -> list[Ran]:
    """Run blocks one after the other in one shell, in what looks like a fresh checkout.

    Args:
        folder: empty; afterwards it has ``outputs/`` and the project with its data.
    """
    outputs, project = folder / "outputs", folder / "g5"
    outputs.mkdir(parents=True)
    _checkout(project)
    script = folder / "blocks.sh"
    script.write_text(_script(blocks, outputs), "utf-8")
    with subprocess.Popen(
        ["bash", str(script)],
        cwd=project,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as shell:
        try:
            with suppress(subprocess.TimeoutExpired):  # what was never begun says so
                shell.wait(_PATIENCE_S)
        finally:
            _end(shell)
            _end_what_is_left(project)
    return [
        Ran(block, _codes(outputs / f"{at}.codes"), _output(outputs / f"{at}.out", block))
        for at, block in enumerate(blocks)
    ]


def plain(text: str, folder: Path) -> str:
    """Output without what differs from run to run: times, sizes, hashes, process ids, paths.

    The order in which Luigi takes up tasks is none, so events that follow each other are sorted.
    """
    text = text.replace(str(folder), "<here>").replace(str(PROJECT), "<project>")
    lines = [line for line in text.splitlines() if not _PASSING.search(line)]
    for pattern, instead in _VARYING:
        lines = [pattern.sub(instead, line) for line in lines]
    groups = groupby(lines, key=lambda line: line.startswith("<time> "))
    ordered = [sorted(group) if events else list(group) for events, group in groups]
    return "".join(f"{line}\n" for group in ordered for line in group)


def golden(ran: Sequence[Ran], folder: Path) -> str:
    """What the use cases print, each under its heading; the practice market before them left out."""
    parts = []
    for heading, group in groupby(ran[1:], key=lambda one: one.block.heading):
        told = "\n".join(plain(one.output, folder) for one in group)
        parts.append(f"## {heading}\n\n{told}")
    return "\n".join(parts)


def _script(blocks: Sequence[Block], outputs: Path) -> str:
    """The blocks as one program that echoes what it runs and notes every exit code but 0."""
    noted = f'code=$?; echo $code >>"{outputs}/$block.codes"; echo "[exit code $code]" {_OURS}'
    lines = [f"trap '{noted}' ERR; set -v {_OURS}"]
    for at, block in enumerate(blocks):
        lines += [f"block={at}; exec >{outputs}/{at}.out 2>&1 {_OURS}", block.text]
    return "\n".join(lines)


def _checkout(project: Path) -> None:
    """A folder with the project's files, and an environment its scripts take for installed."""
    (project / ".venv").mkdir(parents=True)
    for name in _LINKED:
        (project / name).symlink_to(PROJECT / name)
    (project / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    setup = (PROJECT / "setup.cfg").read_bytes() + (PROJECT / "setup.py").read_bytes()
    # As bin/venv.sh leaves it: the output of sha256sum.
    (project / ".venv" / "installed-").write_text(f"{hashlib.sha256(setup).hexdigest()}  -\n")


def _end(shell: subprocess.Popen[bytes]) -> None:
    """The shell and what it started that is still there, such as a simulator."""
    try:
        children = psutil.Process(shell.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    for process in children:
        process.kill()
    shell.kill()


def _end_what_is_left(project: Path) -> None:
    """Runs in the background belong to no shell; their pid files name them."""
    for folder in project.glob("*/run"):
        for file in pid_files(folder):
            leader = file.process()
            if leader is not None:
                for process in [leader, *leader.children(recursive=True)]:
                    process.kill()


def _codes(path: Path) -> tuple[int, ...]:
    return tuple(int(line) for line in path.read_text().split()) if path.exists() else ()


def _output(path: Path, block: Block) -> str:
    """What the shell echoed, with a prompt in front of it, and what was printed."""
    typed = deque(block.text.splitlines())
    lines = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ["(never begun)"]:
        if line.endswith(_OURS):
            continue
        if typed and line == typed[0]:
            typed.popleft()
            lines.append(f"$ {line}")
        else:
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"


def run_both(folder: Path) -> dict[str, list[Ran]]:
    """All blocks of both languages, one language beside the other."""
    with ThreadPoolExecutor(2) as pool:
        runs = {
            language: pool.submit(
                run, [block for page in pages for block in runnable(page)], folder / language
            )
            for language, pages in (("english", ENGLISH), ("japanese", JAPANESE))
        }
        return {language: each.result() for language, each in runs.items()}


def main() -> None:
    """Write the golden text anew, unless a block fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ran = run(runnable(GUIDE), folder)
        wrong = [one for one in ran if one.codes != one.block.codes]
        if wrong:
            sys.exit("\n".join(f"{GUIDE} line {one.block.line}:\n{one.output}" for one in wrong))
        GOLDEN.write_text(golden(ran, folder / "g5"), "utf-8")
    print(f"{GOLDEN}: {len(ran)} blocks")


if __name__ == "__main__":
    main()
