"""``python -m tests.crash``: many trials, a line per kind, and exit code 1 when any failed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli.terminal.options import whole
from tests.arguments import folder as existing_folder
from tests.crash.scenes import NAMES, Scene, scenes
from tests.crash.trials import TRIALS, Verdict, run_trial

_TRIALS = whole(0, 1_000_000)


def main() -> int:
    """Run the trials; the exit code."""
    parser = _parser()
    args = parser.parse_args()
    wanted = list(_wanted(args))
    if not any(numbers for _, numbers in wanted):
        parser.error("no trials: every number is 0")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # and clean up
    with tempfile.TemporaryDirectory(prefix="g5-crash-", dir=args.work) as work:
        folder = Path(work)
        began = time.monotonic()
        with scenes(folder, args.scene or NAMES) as made:
            print(f"seed {args.seed}; {len(made)} scenes prepared in "
                  f"{time.monotonic() - began:.0f} s")  # fmt: skip
            for scene in made:
                print(f"  {scene.name}: {scene.seconds:.1f} s, {len(scene.calls)} calls, "
                      f"{scene.growth:,} bytes undisturbed")  # fmt: skip
            failed = [_kind(kind, list(numbers), args.seed, made, folder)
                      for kind, numbers in wanted]  # fmt: skip
    return 1 if any(failed) else 0


def _kind(kind: str, numbers: list[int], seed: int, made: list[Scene], folder: Path) -> bool:
    """All trials of a kind; True when one failed."""
    began = time.monotonic()
    verdicts: list[Verdict] = []
    for number in numbers:
        scene, verdict = run_trial(kind, number, seed, made, folder)
        verdicts.append(verdict)
        for failure in verdict.failures:
            print(f"FAILED {kind} {number} ({scene.name}; {verdict.what}): {failure}\n"
                  f"  again: python -m tests.crash --seed {seed} --only {kind}:{number}",
                  flush=True)  # fmt: skip
        if sys.stderr.isatty():
            print(f"\r{kind} {len(verdicts)} of {len(numbers)}", end="\r", file=sys.stderr)
    if verdicts:
        seconds = (time.monotonic() - began) / len(verdicts)
        counts = {
            "reached the run": sum(v.hit for v in verdicts),
            "lost": sum(bool(v.lost) for v in verdicts),
            "differing": sum(bool(v.differing) for v in verdicts),
            "half files seen": sum(len(v.half) for v in verdicts),
            "otherwise wrong": sum(bool(v.broken) for v in verdicts),
        }
        told = ", ".join(f"{value} {name}" for name, value in counts.items())
        print(f"{kind}: {len(verdicts)} trials, {told}; {seconds:.1f} s each", flush=True)
    return any(verdict.failures for verdict in verdicts)


def _wanted(args: argparse.Namespace) -> Iterator[tuple[str, range]]:
    if args.only:
        yield args.only
        return
    for kind, count in {
        "kill": args.kills,
        "disk-full": args.disk_full,
        "failing-fs": args.failing_fs,
        "double-start": args.double_start,
    }.items():
        yield kind, range(count)


def _trial(text: str) -> tuple[str, range]:
    """``KIND:N``, the way a failure names its trial."""
    kind, _, number = text.partition(":")
    if kind not in TRIALS or not (number.isascii() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected KIND:N, as in kill:3")
    return kind, range(int(number), int(number) + 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=_TRIALS, default=15, metavar="N")
    parser.add_argument("--disk-full", type=_TRIALS, default=4, metavar="N")
    parser.add_argument("--failing-fs", type=_TRIALS, default=4, metavar="N")
    parser.add_argument("--double-start", type=_TRIALS, default=4, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and places")
    parser.add_argument("--only", type=_trial, metavar="KIND:N",
                        help=f"one trial again; kinds: {', '.join(TRIALS)}")  # fmt: skip
    parser.add_argument("--scene", action="append", choices=NAMES,
                        help="only trials that begin so, repeatable (default: all)")  # fmt: skip
    parser.add_argument("--work", type=existing_folder,
                        help="where the roots are made (default: /tmp)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
