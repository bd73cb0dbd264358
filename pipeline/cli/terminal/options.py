"""Flags that several commands share: those of BuildAll, and the settings."""

from __future__ import annotations

import argparse
import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline import configuration
from pipeline.configuration import Settings
from pipeline.errors import PipelineError, UsageError
from pipeline.filesystem.location import place_of
from pipeline.operations.runs.luigi_command import Runner, Watch


def add_request(parser: argparse.ArgumentParser) -> None:
    """The parameters of BuildAll."""
    parser.add_argument("--start", type=day, required=True, help="first day, YYYY-MM-DD")
    parser.add_argument("--end", type=day, required=True, help="last day, YYYY-MM-DD")
    parser.add_argument(
        "--chunk-months", type=whole(1, 120), default=3, help="length of a chunk (default 3)"
    )
    for name, default, what in (
        ("--resume", True, "false: rebuild every chunk of the range"),
        ("--force", False, "the same as --resume false"),
        ("--latest-only", False, "the newest chunk only, the others unchanged"),
        ("--refresh-listed", False, "ask again for the stock lists of the open month"),
    ):
        parser.add_argument(
            name, type=switch, nargs="?", const=True, default=default, metavar="BOOL",
            help=f"{what} (default {str(default).lower()})",
        )  # fmt: skip


def add_output(parser: argparse.ArgumentParser) -> None:
    """``--output``."""
    parser.add_argument("--output", type=place_of, help="output root (default: data_output_dir)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """``--output``, and every option of ``luigi.cfg`` as ``luigi`` itself takes it."""
    add_output(parser)
    group = parser.add_argument_group("settings, as in luigi.cfg and its environment variables")
    for name, option in configuration.OPTIONS.items():
        group.add_argument(
            f"--g5-{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{option.help} (default {option.default})",
        )


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings of this command, its own flags above all else.

    Raises:
        UsageError: a value is malformed.
    """
    flags = {name: getattr(args, f"g5_{name}", None) for name in configuration.OPTIONS}
    configuration.override({name: value for name, value in flags.items() if value is not None})
    settings = configuration.settings()
    if args.output is None:
        return settings
    return configuration.at_root(settings, args.output)


def flags_of(args: argparse.Namespace) -> dict[str, str]:
    """The settings given on the command line, for a command that this one starts."""
    flags = {name: getattr(args, f"g5_{name}", None) for name in configuration.OPTIONS}
    if args.output is not None:
        flags["data_output_dir"] = str(args.output)
    return {name: value for name, value in flags.items() if value is not None}


def add_running(parser: argparse.ArgumentParser) -> None:
    """The flags of starting a run."""
    parser.add_argument("--workers", type=whole(1, 64), help="task processes at a time (default 1)")
    parser.add_argument(
        "--scheduler-url", metavar="URL", help="of luigid (default: as configured, or without one)"
    )
    parser.add_argument(
        "--json", action="store_true", help="at the end one JSON document on one line, no display"
    )


def runner_of(args: argparse.Namespace, watch: Watch) -> Runner:
    """What starts the runs of this command; ``watch`` shows them."""
    profile = getattr(args, "profile", args.command)
    return Runner(args.workers, args.scheduler_url, flags_of(args), profile, watch)


@contextmanager
def checking() -> Iterator[None]:
    """For a command that checks: any error that keeps it from checking ends with exit code 2.

    Raises:
        UsageError: in place of any of our errors.
    """
    try:
        yield
    except PipelineError as error:
        raise UsageError(error.message, error.hint) from error


def day(text: str) -> dt.date:
    """A date, YYYY-MM-DD."""
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected YYYY-MM-DD") from None


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within limits."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {low} to {high}")
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A number within limits."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected {low:g} to {high:g}")
        return value

    return read


def switch(text: str) -> bool:
    """``true`` or ``false``."""
    if text.lower() not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return text.lower() == "true"
