"""The trials: one disturbed run each, then a plain one that must put everything right."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipeline.errors import PipelineError
from tests.crash.reader import Reader
from tests.crash.result import result_of
from tests.crash.scenes import PATIENCE_S, Scene, striking
from tests.tasks.commands import Ended, Home, assert_gone

_BUSY = 10
_ENOUGH = 64 << 20  # bytes of a disk that is not full


@dataclass
class Verdict:
    """What came of a trial.

    Attributes:
        what: what was done to the run.
        hit: whether that reached it before it ended.
        lost: the next plain run did not finish, or something it should have made is not there.
        differing: the result is another one.
        half: what a reader saw that he should not have.
        broken: anything else that was not as it should be: processes, messages, exit codes.
    """

    what: str
    hit: bool = True
    lost: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        named = {"lost": self.lost, "differing": self.differing, "half": self.half}
        return [f"{name}: {text}" for name, texts in named.items() for text in texts] + self.broken


def kill(scene: Scene, folder: Path, rng: random.Random) -> Verdict:
    """SIGKILL to the whole process group, or to the main process alone, at some moment.

    Half of the time a moment drawn over the length of the run; else just before one of the
    renames, links, fsyncs and openings that it does, which is where files change hands.
    """
    home = scene.begin(folder)
    if rng.random() < 0.5:
        number = rng.randint(1, len(scene.calls))
        verdict = Verdict(f"killed at call {number} of {len(scene.calls)}")
        home_of_run, moment = striking(home, f"kill:{number}:0:once"), None
        group = True
    else:
        moment, group = rng.uniform(0, scene.seconds), rng.random() < 0.7
        verdict = Verdict(f"{'group' if group else 'main process'} killed after {moment:.2f} s")
        home_of_run = home
    with Reader(home.root).reading() as reader:
        with home_of_run.start(*scene.words) as run:
            if moment is not None:
                with suppress(subprocess.TimeoutExpired):
                    run.wait(moment)
                _kill(run, group)
            _, err = run.communicate(timeout=PATIENCE_S)
            verdict.hit = run.returncode == -signal.SIGKILL
            if run.returncode not in (0, -signal.SIGKILL):
                verdict.broken.append(f"exit code {run.returncode}: {err[-500:]}")
        _none_left(run.pid, verdict)
        _finish(home, scene, verdict)
    verdict.half.extend(reader.found)
    return verdict


def full_disk(scene: Scene, folder: Path, rng: random.Random) -> Verdict:
    """The output root on a small file system of its own, which is full before the run is done.

    Where nothing can be mounted, no file reaches the disk from some moment on instead.
    """
    folder.mkdir(parents=True)
    root = folder / "output"
    root.mkdir()
    with _mounted(root) as mounted:
        if not mounted:
            root.rmdir()
            folder.rmdir()
            number = rng.randint(1, scene.calls.count("f"))
            return _failing(scene, folder, f"fsync:{number}:ENOSPC:always")
        home = scene.fill(root)
        room = rng.randint(0, int(scene.growth * 0.95))
        _resize(root, _occupied(root) + room)
        verdict = Verdict(f"{room:,} bytes free of {scene.growth:,} needed")
        with Reader(root).reading() as reader:
            ended = home.run(*scene.words, patience_s=PATIENCE_S)
            _judge_error(ended, verdict, ("No space left", "disk space"))
            _resize(root, _occupied(root) + _ENOUGH)
            _finish(home, scene, verdict)
        verdict.half.extend(reader.found)
        return verdict


def failing_disk(scene: Scene, folder: Path, rng: random.Random) -> Verdict:
    """Some rename, fsync, opening or write is refused: once, or from then on."""
    kind = rng.choice(["rename", "fsync", "create", "write"])
    if kind == "write":
        number, what = rng.randint(1, len(scene.calls)), str(rng.randint(0, 1 << 16))
    else:
        number = rng.randint(1, scene.calls.count(kind[0]))
        what = rng.choice(["EIO", "ENOSPC"])
    return _failing(scene, folder, f"{kind}:{number}:{what}:{rng.choice(['once', 'always'])}")


def double_start(scene: Scene, folder: Path, rng: random.Random) -> Verdict:
    """A second run on the same root, started while the first one is on its way.

    In a third of the trials the first one is killed while the second waits: it is started again
    and again, as ``g5 daily --wait`` does, until it gets its turn.
    """
    home = scene.begin(folder)
    moment, killed = rng.uniform(0, scene.seconds), rng.random() < 1 / 3
    death = rng.uniform(moment, scene.seconds)
    verdict = Verdict(f"second run after {moment:.2f} s")
    with Reader(home.root).reading() as reader:
        with home.start(*scene.words) as first:
            began = time.monotonic()
            time.sleep(moment)
            if killed:
                verdict.what += f", first killed after {death:.2f} s"
                second = _waiting(home, scene, first, began + death)
            else:
                second = home.run(*scene.again, patience_s=PATIENCE_S)
            _, err = first.communicate(timeout=PATIENCE_S)
        codes = (first.returncode, second.code)
        verdict.hit = _BUSY in codes or (killed and first.returncode == -signal.SIGKILL)
        # Whoever came to the lock first holds it; the other is refused, or came too late.
        allowed = {(0, 0), (0, _BUSY), (_BUSY, 0)} | ({(-signal.SIGKILL, 0)} if killed else set())
        if codes not in allowed:
            verdict.broken.append(f"exit codes {codes}: {err[-300:]} {second.told[-2:]}")
        if second.code == _BUSY and "another run (" not in " ".join(second.told):
            verdict.broken.append(f"refused without a reason: {second.told[-2:]}")
        _none_left(first.pid, verdict)
        _finish(home, scene, verdict)
    verdict.half.extend(reader.found)
    return verdict


TRIALS: dict[str, Callable[[Scene, Path, random.Random], Verdict]] = {
    "kill": kill,
    "disk-full": full_disk,
    "failing-fs": failing_disk,
    "double-start": double_start,
}


def run_trial(
    kind: str, number: int, seed: int, scenes: list[Scene], folder: Path
) -> tuple[Scene, Verdict]:
    """One trial, the same for the same seed; its folder stays when it failed."""
    rng = random.Random(f"{seed}/{kind}/{number}")
    scene = rng.choice(scenes)
    place = folder / f"{kind}-{number}"
    verdict = TRIALS[kind](scene, place, rng)
    if not verdict.failures:
        shutil.rmtree(place)
    return scene, verdict


def _failing(scene: Scene, folder: Path, fault: str) -> Verdict:
    home = scene.begin(folder)
    verdict = Verdict(fault)
    with Reader(home.root).reading() as reader:
        ended = striking(home, fault).run(*scene.words, patience_s=PATIENCE_S)
        _judge_error(ended, verdict, ("No space left", "Input/output error", "File too large"))
        _finish(home, scene, verdict)
    verdict.half.extend(reader.found)
    return verdict


def _judge_error(ended: Ended, verdict: Verdict, reasons: tuple[str, ...]) -> None:
    """A run on a bad disk ends with an error code and says in a line why; no traceback."""
    verdict.hit = ended.code != 0
    text = "\n".join(ended.told)
    if "Traceback" in text:
        verdict.broken.append(f"a traceback: {text[-1500:]}")
    if ended.code and not any(reason in text for reason in reasons):
        verdict.broken.append(f"exit code {ended.code} without the reason: {text[-1500:]}")


def _finish(home: Home, scene: Scene, verdict: Verdict) -> None:
    """The plain run, and its result against that of the undisturbed one."""
    ended = home.run(*scene.again, patience_s=PATIENCE_S)
    if ended.code:
        verdict.lost.append(f"the next run ended with {ended.code}: {ended.told[-3:]}")
        return
    try:
        verdict.differing += result_of(home).unlike(scene.expected)
    except (AssertionError, PipelineError, OSError) as error:
        verdict.lost.append(f"{type(error).__name__}: {error}")


def _waiting(home: Home, scene: Scene, first: subprocess.Popen[str], death: float) -> Ended:
    """Run the second again and again; the first one dies at some moment meanwhile."""
    killer = psutil.Process(first.pid)
    ended = Ended(_BUSY, "", [])
    while ended.code == _BUSY:
        with home.start(*scene.again) as run:
            with suppress(subprocess.TimeoutExpired):
                run.wait(max(death - time.monotonic(), 0))
            if time.monotonic() >= death and first.poll() is None and killer.is_running():
                _kill(first, group=True)
            out, err = run.communicate(timeout=PATIENCE_S)
        ended = Ended(run.returncode, out, err.splitlines())
    return ended


def _kill(run: subprocess.Popen[str], group: bool) -> None:
    if run.poll() is None:
        (os.killpg if group else os.kill)(run.pid, signal.SIGKILL)


def _none_left(group: int, verdict: Verdict) -> None:
    """No process of a run lives on: all of them are in its process group."""
    left = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group:
                left.append(process)
    try:
        assert_gone(left)
    except AssertionError:
        verdict.broken.append(f"processes live on: {left}")


@contextmanager
def _mounted(root: Path) -> Iterator[bool]:
    """A file system in memory on this folder; False where that is not permitted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_ENOUGH}", "tmpfs", str(root)]
    mounted = os.geteuid() == 0 and _quiet(command)
    try:
        yield mounted
    finally:
        if mounted and not _quiet(["umount", str(root)]):
            _quiet(["umount", "--lazy", str(root)])


def _resize(root: Path, size: int) -> None:
    assert _quiet(["mount", "-o", f"remount,size={size}", str(root)]), "remount was refused"


def _occupied(root: Path) -> int:
    facts = os.statvfs(root)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def _quiet(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
