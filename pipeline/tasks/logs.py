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


class _OneLine(logging.Formatter):
    """The message alone: an exception is told by whoever reports it, the file has the trace."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage().splitlines()[0] if record.getMessage() else ""
        time = self.formatTime(record, "%H:%M:%S")
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return f"{time} {level}{text}"


def configure(folder: Path | None = None) -> None:
    """Console always, and ``folder``/g5.log; task processes take the folder of their run.

    Luigi's own words go to the file; what matters of them our tasks say on the console.
    """
    if folder is None and _FOLDER in os.environ:
        folder = Path(os.environ[_FOLDER])
    handlers: dict[str, dict[str, object]] = {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "level": "INFO"},
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
    names = list(handlers)
    quiet = [name for name in names if name != "console"]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"run": {"()": _RunId}},
            "formatters": {
                "line": {"()": _OneLine},
                "full": {
                    "format": "%(asctime)s %(levelname)s %(run_id)s %(processName)s[%(process)d] "
                    "%(name)s: %(message)s"
                },
            },
            "handlers": handlers,
            "loggers": {
                "pipeline": {"level": "INFO", "handlers": names, "propagate": False},
                "luigi": {"level": "INFO", "handlers": quiet, "propagate": False},
                "luigi-interface": {"level": "INFO", "handlers": quiet, "propagate": False},
            },
            "root": {"level": "WARNING", "handlers": names},
        }
    )
