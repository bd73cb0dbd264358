"""Profiles: configuration files for one way of running, and the request a file makes.

A file is checked before it is used. An unknown option in one of our sections would otherwise do
nothing, and a value of the wrong type would be found in the middle of the run. Luigi checks its
own sections.
"""

from __future__ import annotations

import configparser
import difflib
import importlib.resources
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import luigi
from luigi.configuration import LuigiConfigParser

from pipeline import configuration as config
from pipeline.errors import UsageError
from pipeline.operations.planning.run_request import Request

SHIPPED = ("production", "incremental")

Tasks = Collection[type[luigi.Task]]


def shipped(name: str) -> Path:
    """The file of a profile that comes with the package."""
    return Path(str(importlib.resources.files("pipeline.profiles") / f"{name}.cfg"))


def use(path: Path, tasks: Tasks) -> None:
    """Check a file, then put it above luigi.cfg and below the environment.

    Raises:
        UsageError: it cannot be used; one line that names file, section and option.
    """
    path = path.expanduser().absolute()
    check(path, tasks)
    config.use_profile(path)


def check(path: Path, tasks: Tasks) -> None:
    """Refuse a file that would not do what it says.

    Args:
        tasks: whose parameters it may set.

    Raises:
        UsageError: no such file, not a configuration file, an unknown name, a wrong type.
    """
    parser = _read(path)
    known: dict[str, dict[str, Any]] = {
        str(task.task_family): dict(task.get_params()) for task in tasks
    }
    known[config.SECTION] = dict.fromkeys(config.OPTIONS)
    for section in parser.sections():
        if section in known:
            _check_section(path, parser, section, known[section])
        else:
            near = difflib.get_close_matches(section.lower(), [n.lower() for n in known], 1, 0.7)
            meant = [name for name in known if name.lower() in near]
            if meant:
                raise UsageError(
                    f"{path} [{section}]: unknown section", f"did you mean [{meant[0]}]?"
                )


def request(build_all: type[luigi.Task]) -> Request:
    """What ``BuildAll`` would take from the files in force, and its defaults.

    Raises:
        UsageError: a value of the wrong type.
    """
    values: dict[str, Any] = {}
    for name, parameter in build_all.get_params():
        has_value = parameter.has_task_value(build_all.task_family, name)
        values[name] = parameter.task_value(build_all.task_family, name) if has_value else None
    return Request(**values)


def _read(path: Path) -> LuigiConfigParser:
    """The parsed file.

    Only ``.cfg`` files: Luigi takes the format from the name.
    """
    if path.suffix != ".cfg":
        raise UsageError(f"{path}: expected a Luigi configuration file named like my.cfg")
    parser = LuigiConfigParser()
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        raise UsageError(f"{path}: does not exist", "check the name of the file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: is no configuration file: {reason}") from None
    return parser


def _check_section(
    path: Path, parser: LuigiConfigParser, section: str, known: Mapping[str, Any]
) -> None:
    for option in parser.options(section):
        name = option.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
            raise UsageError(
                f"{path} [{section}] {option}: unknown option", f"did you mean {near}?"
            )
        try:
            text = parser.get(section, option)
        except configparser.Error as error:
            raise UsageError(f"{path} [{section}] {option}: {error.message}") from None
        read = getattr(known[name], "read", None)
        if read is not None:
            try:
                read(text)
            except UsageError as error:
                reason = error.message.removeprefix("parameter ")
                raise UsageError(f"{path} [{section}] {option} {reason}") from None
