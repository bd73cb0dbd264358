"""The parts of the reference that follow from the code; ``python -m tests.reference_pages`` writes
them.

The table of settings, settings and return codes in ``luigi.cfg``, the pages of flags and exit codes.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from pipeline import cli, configuration
from pipeline.exit_codes import ExitCode

PROJECT = Path(__file__).parents[1]
_REFERENCE = PROJECT / "docs" / "reference"
_SETTINGS = re.compile(r"(?<=\n)\| option .*?\n(?=\n)", re.DOTALL)
_CODES = re.compile(r"(?<=good one.\n)(?:\w+ = \d+\n)+")
_SECTION = re.compile(r"(?<=\[g5\]\n).*?\n(?=\n\[core\])", re.DOTALL)


def pages() -> dict[Path, str]:
    """What each page should contain, by path."""
    settings, luigi_cfg = _REFERENCE / "settings.md", PROJECT / "luigi.cfg"
    return {
        settings: _SETTINGS.sub(lambda _: _settings_table(), settings.read_text("utf-8"), 1),
        luigi_cfg: _luigi_cfg(luigi_cfg.read_text("utf-8")),
        _REFERENCE / "flags.md": _flags(),
        _REFERENCE / "exit-codes.md": _exit_codes(),
    }


def _exit_codes() -> str:
    rows = [(str(int(code)), code.meaning) for code in ExitCode]
    return "# Exit codes\n\n" + _table([("code", "meaning"), ("---", "---"), *rows])


def _settings_table() -> str:
    rows = [("option (environment in capitals)", "default", "meaning"), ("---",) * 3]
    for name, option in configuration.OPTIONS.items():
        rows.append((f"`{name}`", f"`{option.default}`", option.help))
    return _table(rows)


def _luigi_cfg(text: str) -> str:
    codes = "".join(f"{name} = {code}\n" for name, code in ExitCode.of_luigi().items())
    return _CODES.sub(codes, _SECTION.sub(lambda _: _settings_section(), text, 1), 1)


def _settings_section() -> str:
    lines = []
    for name, option in configuration.OPTIONS.items():
        lines += textwrap.wrap(option.help, 100, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{name} = {option.default}")
    return "\n".join(lines) + "\n"


def _flags() -> str:
    """Every command with its flags, by its own parser."""
    parser = argparse.ArgumentParser(prog="g5")
    commands = parser.add_subparsers()
    for command, (module, _) in cli._COMMANDS.items():
        import_module(f"pipeline.cli.{module}").add_arguments(commands.add_parser(command))
    texts = [
        (
            "# Flags of every command\n\n"
            "The same as each command prints with `--help`. Commands that take *settings* accept every option\n"
            "of [settings](settings.md) as a flag, such as `--g5-plan light`.\n"
        )
    ]
    texts += [_command(name, command) for name, command in _leaves("g5", parser)]
    return "\n".join(texts)


def _leaves(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield name, parser
    for action in below:
        for word, command in action.choices.items():
            yield from _leaves(f"{name} {word}", command)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    rows, settings = [], False
    for action in parser._actions:
        if action.dest == "help":
            continue
        if action.dest.startswith("g5_"):
            settings = True
            continue
        names = ", ".join(f"`{flag}`" for flag in action.option_strings)
        shown = names or f"`{action.metavar or action.dest}`"
        if action.option_strings and action.nargs != 0:
            shown += f" {action.metavar or _choices(action) or action.dest.upper()}"
        needed = " (required)" if action.required and action.option_strings else ""
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows.append((shown, text.replace("|", "\\|") + needed))
    text = f"## {name}\n"
    if parser.description:
        text += "\n" + "\n".join(textwrap.wrap(parser.description, 100)) + "\n"
    if rows:
        text += "\n" + _table([("argument", "meaning"), ("---", "---"), *rows])
    return text + ("\nAlso takes *settings*.\n" if settings else "")


def _choices(action: argparse.Action) -> str:
    return "\\|".join(map(str, action.choices)) if action.choices else ""


def _table(rows: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" if row[0] != "---" else _rule(row) for row in rows)


def _rule(row: tuple[str, ...]) -> str:
    return "|" + "---|" * len(row) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
