"""Logging of the main process and of every task process.

People read the console: one line per event, no tracebacks. The file has everything; it rotates
and is shared by all processes of all runs on the machine.
"""

from __future__ import annotations

import logging
import logging.config
import os
import uuid
from pathlib import Path

_ROTATE_BYTES = 20 * 2**20
_KEEP_FILES = 20
_FOLDER = "G5_LOG_DIR"


def run_id() -> str:
    """Id of this run, the same in all its processes."""
    return os.environ.setdefault("G5_RUN_ID", uuid.uuid4().hex[:12])


class _RunId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.run_id = run_id()
        return True


class _NotOfTasks(logging.Filter):
    """Without what Luigi says about tasks: ``failures`` says it, shorter."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "worker"


class _OneLine(logging.Formatter):
    """One line per event: an exception is told by its message, the file has the trace."""

    def format(self, record: logging.LogRecord) -> str:
        text = next(iter(record.getMessage().splitlines()), "")
        error = record.exc_info[1] if record.exc_info else None
        told = f": {type(error).__name__}: {error}".splitlines()[0] if error else ""
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return f"{self.formatTime(record, '%H:%M:%S')} {level}{text}{told}"


def configure(folder: Path | None = None) -> None:
    """Console always, and ``folder``/g5.log; task processes take the folder of their run.

    Of Luigi's own words the console has the warnings that are not about tasks, such as a
    scheduler that does not answer.
    """
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
            "class": "concurrent_log_handler.ConcurrentRotatingFileHandler",
            "formatter": "full",
            "filename": str(folder / "g5.log"),
            "maxBytes": _ROTATE_BYTES,
            "backupCount": _KEEP_FILES,
            "encoding": "utf-8",
            "filters": ["run"],
        }
    ours = [name for name in handlers if name != "luigi"]
    luigis = [name for name in handlers if name != "console"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"run": {"()": _RunId}, "not_of_tasks": {"()": _NotOfTasks}},
            "formatters": {
                "line": {"()": _OneLine},
                "full": {
                    "format": "%(asctime)s %(levelname)s %(run_id)s %(processName)s[%(process)d] "
                    "%(name)s: %(message)s"
                },
            },
            "handlers": handlers,
            "loggers": {
                "pipeline": {"level": "INFO", "handlers": ours, "propagate": False},
                "luigi": {"level": "INFO", "handlers": luigis, "propagate": False},
                "luigi-interface": {"level": "INFO", "handlers": luigis, "propagate": False},
            },
            "root": {"level": "WARNING", "handlers": ours},
        }
    )
