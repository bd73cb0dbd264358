"""Bad input to the operator's tools: what each is told, and that nothing is lost by it.

``python -m tests.cli.bad_inputs`` prints the list; tests/data/bad_inputs.txt is that list as it
should be. Most cases run in this process on small chunks. Some circumstances cannot be had there:

- A folder that may not be read: as somebody else where this process is the administrator, to
  whom every folder is open.
- A full or a read-only disk: a small file system of its own, in a mount namespace of its own
  (``unshare``), which ends with the process that looks at it.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import jsonschema  # noqa: F401  (before the process becomes somebody who cannot read it)
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import cli
from pipeline.manifest import Manifest, to_json
from pipeline.operations.planning import run_plan
from pipeline.process import log_setup
from tests.cli.inspection.chunk_folders import MANIFEST, Folder, folder_with
from tests.dataset.builders import COLUMNS

PROJECT = Path(__file__).resolve().parents[2]
GOLDEN = PROJECT / "tests/data/bad_inputs.txt"

_NOBODY = 65534
_DISK = "size=512k"
_CHUNKS = ("2020Q1", "2020Q2", "2020Q3")
_VARYING = (
    (re.compile(r"process \d+"), "process <pid>"),
    (re.compile(r"production_\d+_\d+"), "production_<time>"),
    (re.compile(r"\d+ d ago"), "<n> d ago"),
    (re.compile(r"\b\d+ bytes, recorded \d+"), "<n> bytes, recorded <n>"),
)


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        what: in words; the heading of its entry in the list.
        spoil: makes it, of a folder with three good chunks.
        words: the command; ``{root}`` and ``{manifest}`` stand for those of the folder.
        gone: files that the command may remove, and says so.
        alone: in a process of its own, because the command changes the settings of its process.
        disk: the file system that the folder lies on.
    """

    what: str
    spoil: Callable[[Folder], object]
    words: tuple[str, ...]
    gone: tuple[str, ...] = ()
    alone: bool = False
    disk: Literal["read-only", "full"] | None = None


@dataclass(frozen=True)
class Told:
    """What came of it: the exit code, and the lines that tell what is wrong."""

    code: int
    lines: tuple[str, ...]
    lost: tuple[str, ...] = ()


CHECK = ("check-chunks", "--chunks-dir", "{root}/chunks", "--schema-manifest", "{manifest}")
MERGE = ("merge-chunks", "--chunks-dir", "{root}/chunks", "--output-dir", "{root}")
REBUILD = ("rebuild", "2020Q2", "--output", "{root}")
STATUS = ("status", "--output", "{root}")
STOP = ("stop", "--output", "{root}")
CUSTOM = ("run", "custom", "--output", "{root}", "--config")
WINDOW = ("--start", "2020-01-06", "--end", "2020-02-28")


def _status(content: bytes | None = None, **changes: object) -> Callable[[Folder], object]:
    """Another content of a status file, or some of its fields changed."""

    def spoil(folder: Folder) -> None:
        if content is not None:
            folder.store.status_path("2020Q2").write_bytes(content)
        folder.edit("2020Q2", **changes) if changes else None

    return spoil


def _cut(path: Callable[[Folder], Path], share: float) -> Callable[[Folder], object]:
    """The first part of a file."""

    def spoil(folder: Folder) -> None:
        content = path(folder).read_bytes()
        path(folder).write_bytes(content[: int(len(content) * share)])

    return spoil


def _table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Folder], object]:
    """Another table in the Parquet file of a chunk, whose status knows its size."""

    def spoil(folder: Folder) -> None:
        path = folder.store.parquet_path("2020Q2")
        pq.write_table(change(pq.read_table(path)), path)
        folder.edit("2020Q2", parquet_bytes=path.stat().st_size)

    return spoil


def _parquet(folder: Folder) -> Path:
    return folder.store.parquet_path("2020Q2")


def _manifest(content: bytes | None = None, **changes: object) -> Callable[[Folder], object]:
    text = content if content is not None else json.dumps(to_json(MANIFEST) | changes).encode()
    return lambda folder: folder.manifest.write_bytes(text)


def _own_cfg(text: str) -> Callable[[Folder], object]:
    return lambda folder: (folder.root / "my.cfg").write_text(text)


def _pid_file(number: Callable[[], int]) -> Callable[[Folder], object]:
    def spoil(folder: Folder) -> None:
        (folder.root / "run").mkdir()
        (folder.root / "run/production.pid").write_text(f"{number()}\n")

    return spoil


def _of_the_dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _nothing(_folder: Folder) -> None:
    """The circumstances are bad enough."""


def _foreign_manifest() -> bytes:
    twice = Manifest("1.2.0", "2024-06-03T08:00:00Z", "test", (*COLUMNS, COLUMNS[2]))
    return json.dumps(to_json(twice)).encode()


def _strays(folder: Folder) -> None:
    for name in ("notes.txt", "2020Q5"):
        (folder.store.folder / name).write_text("")


CASES = (
    Case("status.json: empty", _status(b""), CHECK),
    Case("status.json: truncated", _cut(lambda f: f.store.status_path("2020Q2"), 0.5), CHECK),
    Case("status.json: foreign schema", _status(b'{"stage": "done"}'), CHECK),
    Case("status.json: unknown state", _status(state="running"), CHECK),
    Case("status.json: empty, merged", _status(b""), MERGE),
    Case("status.json: empty, looked at", _status(b""), STATUS),
    Case("Parquet: truncated", _cut(_parquet, 0.5), CHECK),
    Case("Parquet: truncated, merged", _cut(_parquet, 0.5), MERGE),
    Case("Parquet: zero bytes", _cut(_parquet, 0), CHECK),
    Case("Parquet: zero bytes, merged", _cut(_parquet, 0), MERGE),
    Case(
        "Parquet: wrong columns",
        _table(lambda t: t.drop_columns("sector").append_column("more", t["ret_prev_1d"])), CHECK,
    ),
    Case(
        "Parquet: wrong columns, merged",
        _table(lambda t: t.drop_columns("sector").append_column("more", t["ret_prev_1d"])), MERGE,
    ),
    Case("Parquet: wrong order", _table(lambda t: t.select([0, 1, 3, 2, 4])), CHECK),
    Case(
        "Parquet: wrong type",
        _table(lambda t: t.set_column(3, "is_traded", t["is_traded"].cast(pa.int16()))), CHECK,
    ),
    Case("metadata.json: missing", lambda f: f.store.metadata_path("2020Q2").unlink(), CHECK),
    Case(
        "metadata.json: missing, merged",
        lambda f: f.store.metadata_path("2020Q2").unlink(), (*MERGE, "--strict"),
    ),
    Case("manifest: missing", lambda f: f.manifest.unlink(), CHECK),
    Case("manifest: edited, the hash is not that of its columns",
         _manifest(schema_hash="0" * 16), CHECK),
    Case("manifest: edited, a column is gone",
         _manifest(columns=to_json(MANIFEST)["columns"][:-1]), CHECK),
    Case("manifest: duplicate columns", _manifest(_foreign_manifest()), CHECK),
    Case("chunks folder: missing", lambda f: f.store.folder.rename(f.root / "gone"), CHECK),
    Case("chunks folder: missing, merged", lambda f: f.store.folder.rename(f.root / "gone"), MERGE),
    Case("chunks folder: unreadable", lambda f: f.store.folder.chmod(0), CHECK),
    Case("chunks folder: unreadable, merged", lambda f: f.store.folder.chmod(0), MERGE),
    Case("chunks folder: unreadable, looked at", lambda f: f.store.folder.chmod(0), STATUS),
    Case("chunks folder: unreadable, rebuild", lambda f: f.store.folder.chmod(0), REBUILD),
    Case("chunk: unreadable", lambda f: (f.store.folder / "2020Q2").chmod(0), CHECK),
    Case("chunk: unreadable, merged", lambda f: (f.store.folder / "2020Q2").chmod(0), MERGE),
    Case("Parquet: unreadable", lambda f: _parquet(f).chmod(0), CHECK),
    Case("chunks folder: stray files", _strays, (*CHECK, "--fail-on-warning")),
    Case("tag with path characters", _nothing,
         ("plan", *WINDOW, "--output", "{root}", "--g5-source-cache-tag", "../x"),
         alone=True),
    Case("as-of with path characters", _nothing,
         ("plan", *WINDOW, "--output", "{root}", "--g5-source-cache-asof", "2024-01-04/.."),
         alone=True),
    Case("two chunks that overlap", lambda f: f.add("2020M01"), CHECK),
    Case("two chunks that overlap, merged", lambda f: f.add("2020M01"), MERGE),
    Case("chunk of another origin", lambda f: f.add("2020Q2", origin="api"), CHECK),
    Case("chunk of another origin, merged", lambda f: f.add("2020Q2", origin="api"), MERGE),
    Case("config file: missing", _nothing, (*CUSTOM, "{root}/my.cfg"), alone=True),
    Case("config file: unknown key", _own_cfg("[g5]\nsource_cash_mode = off\n"),
         (*CUSTOM, "{root}/my.cfg"), alone=True),
    Case("config file: wrong type", _own_cfg("[BuildAll]\nchunk_months = three\n"),
         (*CUSTOM, "{root}/my.cfg"), alone=True),
    Case("pid file of a dead process", _pid_file(_of_the_dead), STOP,
         gone=("run/production.pid",)),
    Case("pid file of a foreign process", _pid_file(os.getppid), STOP,
         gone=("run/production.pid",)),
    Case("read-only disk: merge", _nothing, MERGE, disk="read-only"),
    Case("read-only disk: rebuild", _nothing, REBUILD, disk="read-only"),
    Case("read-only disk: run", _nothing,
         ("run", "production", *WINDOW, "--output", "{root}"), alone=True, disk="read-only"),
    Case("read-only disk: run in the background", _nothing,
         ("run", "production", *WINDOW, "--output", "{root}", "--background"),
         alone=True, disk="read-only"),
    Case("full disk: merge", _nothing, MERGE, disk="full"),
    Case("full disk: rebuild", _nothing, REBUILD, disk="full"),
    Case("full disk: manifest", _nothing,
         ("regenerate-manifest", "--reference-chunk", "{root}/chunks/2020Q1/ml_dataset.parquet",
          "--output", "{root}/new.json", "--version", "1.3.0"), disk="full"),
    Case("full disk: run in the background", _nothing,
         ("run", "production", *WINDOW, "--output", "{root}", "--background"),
         alone=True, disk="full"),
)  # fmt: skip


def told_of(case: Case, folder: Path) -> Told:
    """Make a bad input in an empty folder, and see what is told of it."""
    if case.disk:
        return _on_disks()[case.what]
    spoilt = folder_with(folder, *_CHUNKS)
    return _told_of(case, spoilt)


def shown(case: Case, told: Told, folder: Path) -> str:
    """The entry of a case in the list, without what differs from time to time."""
    words = " ".join(case.words).replace("{root}", "output").replace("{manifest}", "manifest.json")
    text = "\n".join((f"# {case.what}", f"$ g5 {words}", *told.lines, f"[exit code {told.code}]"))
    text = text.replace(str(folder), "<here>").replace(str(PROJECT), "<project>")
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return f"{text}\n"


@contextmanager
def place() -> Iterator[Path]:
    """An empty folder that everybody can reach."""
    with tempfile.TemporaryDirectory(prefix="bad-input-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _told_of(case: Case, folder: Folder) -> Told:
    before = folder.contents()
    case.spoil(folder)
    closed = [path for path in folder.root.rglob("*") if not path.stat().st_mode & 0o777]
    if closed:
        folder.root.chmod(0o777)
    modes = {path: 0o755 if path.is_dir() else 0o644 for path in closed}
    spoilt = {path: path.read_bytes() for path in before if path.exists() and not _in(path, closed)}
    more = {path: path.read_bytes() for path in folder.root.rglob("*")
            if path.is_file() and not _in(path, closed)}  # fmt: skip
    spoilt |= more | {path: text for path, text in before.items() if _in(path, closed)}
    words = [_filled(word, folder) for word in case.words]
    if case.alone:
        code, out, err = _alone(words)
    else:
        with _as_anybody(bool(closed)):
            code, out, err = _here(words)
    for path, mode in modes.items():
        path.chmod(mode)
    after = folder.contents()
    allowed = {folder.root / name for name in case.gone}
    lost = [
        str(path.relative_to(folder.root))
        for path, content in spoilt.items()
        if after.get(path) != content and path not in allowed
    ]
    lines = err.splitlines() or _findings(out)
    return Told(code, tuple(lines), tuple(lost))


def _in(path: Path, closed: list[Path]) -> bool:
    return any(path == top or path.is_relative_to(top) for top in closed)


def _filled(word: str, folder: Folder) -> str:
    return word.replace("{root}", str(folder.root)).replace("{manifest}", str(folder.manifest))


def _here(words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    kept = {name: os.environ.get(name) for name in ("G5_LOG_DIR", "G5_LOG_FORMAT")}
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main(words)
    finally:
        if run_plan._lock is not None:  # the hold of this command ends with it
            run_plan._lock.close()
            run_plan._lock = None
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        log_setup.configure()
    return code, out.getvalue(), err.getvalue()


def _alone(words: list[str]) -> tuple[int, str, str]:
    ours = {"JQUANTS_API_KEY": "k", "JQUANTS_API_BASE": "http://127.0.0.1:9/v2"}
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        env=_clean() | ours, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def _clean() -> dict[str, str]:
    prefixes = ("G5_", "JQUANTS_", "LUIGI_", "SOURCE_", "INDEX_", "DATA_")
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}


def _findings(out: str) -> list[str]:
    """Of a report: what was found, and its last line."""
    *lines, last = out.splitlines() or [""]
    table = next((i for i, line in enumerate(lines) if line.startswith("Chunk ")), 0)
    after = next((i for i, line in enumerate(lines[table:], table) if not line), len(lines))
    return [line for line in (*lines[after:], last) if line]


@contextmanager
def _as_anybody(closed: bool) -> Iterator[None]:
    """As somebody to whom a closed folder is closed."""
    if not closed or os.geteuid():
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@cache
def _on_disks() -> dict[str, Told]:
    """What is told of the cases that need a disk of their own, all in one process that has them."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    ended = subprocess.run(
        [*own, sys.executable, "-m", "tests.cli.bad_inputs", "--on-disks"],
        env=_clean(), cwd=PROJECT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"no file systems of its own: {ended.stderr}")
    seen = json.loads(ended.stdout.splitlines()[-1])
    return {
        what: Told(told["code"], tuple(told["lines"]), tuple(told["lost"]))
        for what, told in seen.items()
    }


def _on_a_disk(case: Case, mount: Path) -> Told:
    """On a small file system that is mounted for it, and seen by this process alone."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", _DISK, "none", str(mount)], check=True)
    folder = folder_with(mount, *_CHUNKS)
    if case.disk == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    else:
        for name in ("run", "logs"):  # there since the last run
            (folder.root / name).mkdir()
        with suppress(OSError), (mount / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"\0" * 4096):
                pass
    told = _told_of(case, folder)
    return replace(told, lines=tuple(line.replace(str(mount), "<here>") for line in told.lines))


def main() -> int:
    """Print the list; or for ``_on_disks``, what is told of its cases."""
    if sys.argv[1:] == ["--on-disks"]:
        seen = {}
        for case in CASES:
            if case.disk:
                with place() as folder:
                    seen[case.what] = vars(_on_a_disk(case, folder))
        print(json.dumps(seen))
        return 0
    for case in CASES:
        with place() as folder:
            print(shown(case, told_of(case, folder), folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
