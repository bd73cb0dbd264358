"""Logging of the main process and of every task process.

The console has one line per event and no tracebacks. The file has everything, as lines or JSON; it
rotates and is shared by all processes of all runs on the machine.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import logging.config
import os
import sys
import uuid
from pathlib import Path
from typing import Any, Literal, get_args

Format = Literal["text", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)

ROTATE_BYTES = 20 * 2**20
KEEP_FILES = 20
_FOLDER, _FORMAT = "G5_LOG_DIR", "G5_LOG_FORMAT"  # environment of the task processes
WEBHOOK = "G5_WEBHOOK_URL"  # environment: where alerts go
_SECRETS = ("JQUANTS_API_KEY", WEBHOOK)  # the names of the variables
_SECRET_CHARACTERS = 16  # a shorter word, such as the simulator's key, is no secret


def run_id() -> str:
    """Id of this run, the same in all its processes."""
    return os.environ.setdefault("G5_RUN_ID", uuid.uuid4().hex[:12])


class _NotOfTasks(logging.Filter):
    """Drops Luigi's lines about tasks: ``run_recorder`` logs shorter ones."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "worker"


class _OneLine(logging.Formatter):
    """For the console: an exception is its message, the file has the trace."""

    def format(self, record: logging.LogRecord) -> str:
        text = next(iter(record.getMessage().splitlines()), "")
        error = record.exc_info[1] if record.exc_info else None
        reason = f": {type(error).__name__}: {error}".splitlines()[0] if error else ""
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return without_secret(f"{self.formatTime(record, '%H:%M:%S')} {level}{text}{reason}")


class _Lines(logging.Formatter):
    """For the file: every line has time and process, also those of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        head = (
            f"{_moment(record)} {record.levelname} {run_id()} "
            f"{record.processName}[{record.process}] {record.name}: "
        )
        text = without_secret(super().format(record))
        return "\n".join(f"{head}{line}" for line in text.splitlines() or [""])


class _Json(logging.Formatter):
    """For the file: one object per event, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _moment(record),
            "level": record.levelname,
            "run_id": run_id(),
            "process": record.processName,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)
        texts = {k: without_secret(v) if isinstance(v, str) else v for k, v in event.items()}
        return json.dumps(texts, ensure_ascii=False)


def file() -> Path | None:
    """The log file of this run; None before it has one."""
    return Path(os.environ[_FOLDER]) / "g5.log" if _FOLDER in os.environ else None


def configure(folder: Path | None = None, log_format: Format | None = None) -> None:
    """Log to the console and to ``folder``/g5.log; task processes inherit folder and format.

    The console shows Luigi's warnings that are not about tasks, such as a scheduler that does not
    answer.
    """
    if log_format is not None:
        os.environ[_FORMAT] = log_format
    if folder is None and _FOLDER in os.environ:
        folder = Path(os.environ[_FOLDER])
    handlers: dict[str, dict[str, object]] = {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "level": "INFO"},
        "luigi": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "level": "WARNING",
            "filters": ["not_of_tasks"],
        },
    }
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[_FOLDER] = str(folder)
        handlers["file"] = {
            "()": _shared_file,
            "formatter": os.environ.get(_FORMAT, "text"),
            "filename": str(folder / "g5.log"),
            "maxBytes": ROTATE_BYTES,
            "backupCount": KEEP_FILES,
            "encoding": "utf-8",
        }
    ours = [name for name in handlers if name != "luigi"]
    luigis = [name for name in handlers if name != "console"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"not_of_tasks": {"()": _NotOfTasks}},
            "formatters": {"line": {"()": _OneLine}, "text": {"()": _Lines}, "json": {"()": _Json}},
            "handlers": handlers,
            "loggers": {
                "pipeline": {"level": "INFO", "handlers": ours, "propagate": False},
                "luigi": {"level": "INFO", "handlers": luigis, "propagate": False},
                "luigi-interface": {"level": "INFO", "handlers": luigis, "propagate": False},
            },
            "root": {"level": "WARNING", "handlers": ours},
        }
    )


def _shared_file(**options: Any) -> logging.Handler:
    """The handler of the file. The run continues if it cannot be written, as on a full disk; one
    line per process says so, instead of a traceback per event."""
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    class Handler(ConcurrentRotatingFileHandler):
        warned = False

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
            error = sys.exc_info()[1]
            if not isinstance(error, OSError):
                super().handleError(record)
            elif not self.warned:
                self.warned = True
                reason = os.strerror(error.errno) if error.errno else str(error)
                sys.stderr.write(f"warning: {self.baseFilename}: cannot be written: {reason}\n")

    return Handler(**options)


def _moment(record: logging.LogRecord) -> str:
    moment = dt.datetime.fromtimestamp(record.created, dt.UTC).astimezone()
    return moment.isoformat(timespec="milliseconds")


def without_secret(text: str) -> str:
    """The text with the API key and the address of the webhook masked."""
    for name in _SECRETS:
        secret = os.environ.get(name, "")
        if len(secret) >= _SECRET_CHARACTERS:
            text = text.replace(secret, "***")
    return text
