"""Settings: declared once, checked before the first request.

Precedence: command line (``--g5-NAME``), environment (upper-case name), the file named by
LUIGI_CONFIG_PATH, ``luigi.cfg``, the default below. The API key and base URL come from the
environment alone and never enter a parameter.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import luigi
from luigi.configuration import get_config

from pipeline.api.plans import PLANS, Plan
from pipeline.api.session import Origin
from pipeline.errors import UsageError
from pipeline.tasks import runtime

OFFICIAL_API = "https://api.jquants.com/v2"
JST = ZoneInfo("Asia/Tokyo")
CACHE_MODES = ("read_write", "read", "off")
SECTION = "g5"

# What a run needs of Luigi whatever the working directory: luigi.cfg may override each.
_LUIGI_DEFAULTS = {
    "core": {"no_configure_logging": "true", "autoload_range": "false"},
    "worker": {
        "force_multiprocessing": "true",
        "task_process_context": "pipeline.tasks.runtime.TaskProcessSetup",
        "check_complete_on_run": "true",
    },
    "retcode": {
        "already_running": "10",
        "missing_data": "20",
        "not_run": "25",
        "task_failed": "30",
        "scheduling_error": "35",
        "unhandled_exception": "40",
    },
    "execution_summary": {"summary_length": "50"},
    "scheduler": {"retry_count": "1", "stable_done_cooldown_secs": "0"},
}

_HANDED_DOWN = "G5_SETTINGS"  # environment of the task processes; holds no secret
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,39}")


class g5(luigi.Config):  # noqa: N801  (the name is the section)
    """What an operator may change."""

    data_output_dir = luigi.Parameter(default="output", description="root of everything written")
    plan = luigi.Parameter(default="premium", description="free, light, standard or premium")
    requests_per_minute = luigi.Parameter(
        default="plan", description="plan: the limit of the plan; 0: none; or a number"
    )
    source_cache_mode = luigi.Parameter(default="read_write", description="read_write, read, off")
    source_cache_force_refresh = luigi.Parameter(default="false")
    source_cache_asof = luigi.Parameter(default="none", description="YYYY-MM-DD or none")
    source_cache_tag = luigi.Parameter(default="none", description="letters, digits and dots")
    source_cache_ttl_override_days = luigi.Parameter(default="none", description="days or none")
    index_option_cache_ttl_days = luigi.Parameter(default="14")
    index_option_parallel_concurrency = luigi.Parameter(default="8", description="threads")
    compute_threads = luigi.Parameter(default="2", description="threads of one chunk build")


@dataclass(frozen=True)
class Settings:
    """Checked settings; attribute names are the option names.

    ``requests_per_minute`` is None for the limits of the plan, 0 for none.
    """

    data_output_dir: Path
    plan: Plan
    requests_per_minute: int | None
    source_cache_mode: str
    source_cache_force_refresh: bool
    source_cache_asof: dt.date | None
    source_cache_tag: str | None
    source_cache_ttl_override_days: int | None
    index_option_cache_ttl_days: int
    index_option_parallel_concurrency: int
    compute_threads: int

    @cached_property
    def api_base(self) -> str:
        return os.environ.get("JQUANTS_API_BASE", OFFICIAL_API).rstrip("/")

    @property
    def origin(self) -> Origin:
        """``api`` or ``simulator``: where the data of this run come from.

        Only a server on this machine is taken for the simulator; the client checks that the
        server agrees, so synthetic data cannot pass for real.
        """
        host = urlsplit(self.api_base).hostname or ""
        return "simulator" if host in {"127.0.0.1", "::1", "localhost"} else "api"


def install_defaults() -> None:
    """Give Luigi the settings a correct run needs, and put the environment above the files."""
    config = get_config()
    for section, values in _LUIGI_DEFAULTS.items():
        for key, value in values.items():
            if not config.has_option(section, key):
                config.set(section, key, value)
    for name, _ in g5.get_params():
        override = os.environ.get(name.upper())
        if override is not None:
            config.set(SECTION, name, override.replace("%", "%%"))


def settings() -> Settings:
    """The settings of this run.

    Raises:
        UsageError: a value is malformed; the text names the option, the value and what would do.
    """
    raw = _raw()
    return Settings(
        data_output_dir=Path(raw.data_output_dir).expanduser().absolute(),
        plan=cast(Plan, _choice("plan", raw.plan, PLANS)),
        requests_per_minute=(
            None
            if raw.requests_per_minute == "plan"
            else _whole("requests_per_minute", raw.requests_per_minute, 0, 100_000)
        ),
        source_cache_mode=_choice("source_cache_mode", raw.source_cache_mode, CACHE_MODES),
        source_cache_force_refresh=_flag(
            "source_cache_force_refresh", raw.source_cache_force_refresh
        ),
        source_cache_asof=_optional_date("source_cache_asof", raw.source_cache_asof),
        source_cache_tag=_optional_tag("source_cache_tag", raw.source_cache_tag),
        source_cache_ttl_override_days=_optional_whole(
            "source_cache_ttl_override_days", raw.source_cache_ttl_override_days
        ),
        index_option_cache_ttl_days=_whole(
            "index_option_cache_ttl_days", raw.index_option_cache_ttl_days, 0, 36500
        ),
        index_option_parallel_concurrency=_whole(
            "index_option_parallel_concurrency", raw.index_option_parallel_concurrency, 1, 200
        ),
        compute_threads=_whole("compute_threads", raw.compute_threads, 1, 64),
    )


def _raw() -> SimpleNamespace:
    """The options as text. A task process gets them from its main process: flags given on the
    command line do not reach a spawned process by themselves."""
    if not runtime.is_main_process() and _HANDED_DOWN in os.environ:
        return SimpleNamespace(**json.loads(os.environ[_HANDED_DOWN]))
    _check_names()
    options = g5()
    texts = {name: str(getattr(options, name)) for name, _ in g5.get_params()}
    os.environ[_HANDED_DOWN] = json.dumps(texts)
    return SimpleNamespace(**texts)


def api_key() -> str:
    """The API key from the environment.

    Raises:
        UsageError: there is none; the text names both ways on.
    """
    key = os.environ.get("JQUANTS_API_KEY", "")
    if not key:
        raise UsageError(
            "JQUANTS_API_KEY is not set",
            "export the key of your J-Quants dashboard, or run bin/demo.sh, which builds from "
            "the simulator without a key",
        )
    return key


def now() -> dt.datetime:
    """The moment this run decides by, naive JST.

    Fixed on first use and handed to the task processes through the environment, so that all
    processes of a run agree. G5_NOW (ISO 8601, JST where no offset is given) replaces the clock.
    """
    text = os.environ.setdefault("G5_NOW", dt.datetime.now(JST).isoformat(timespec="seconds"))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"G5_NOW {text!r}: expected an ISO time such as 2024-06-03T08:00+09:00"
        ) from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(JST).replace(tzinfo=None)
    return moment


def stamp(ago: dt.timedelta = dt.timedelta(0)) -> str:
    """The moment of the run, or one before it, as documents write it: ISO 8601 with offset."""
    return (now() - ago).replace(microsecond=0, tzinfo=JST).isoformat()


def _check_names() -> None:
    """Refuse unknown keys in the section: a misspelt option would silently do nothing."""
    known = {name for name, _ in g5.get_params()}
    config = get_config()
    found = config.options(SECTION) if config.has_section(SECTION) else []
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
            raise UsageError(f"config [{SECTION}] {name}: unknown option", f"did you mean {near}?")


def _choice(name: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise UsageError(f"{name} {text!r}: expected one of {', '.join(allowed)}")
    return text


def _flag(name: str, text: str) -> bool:
    if str(text).lower() not in {"true", "false"}:
        raise UsageError(f"{name} {text!r}: expected true or false")
    return str(text).lower() == "true"


def _whole(name: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise UsageError(f"{name} {text!r}: expected a whole number from {low} to {high}")
    return value


def _optional_whole(name: str, text: str) -> int | None:
    return None if text == "none" else _whole(name, text, 0, 36500)


def _optional_date(name: str, text: str) -> dt.date | None:
    if text == "none":
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=JST).date()
    except ValueError:
        raise UsageError(f"{name} {text!r}: expected YYYY-MM-DD or none") from None


def _optional_tag(name: str, text: str) -> str | None:
    if text == "none":
        return None
    if not _TAG.fullmatch(text):
        raise UsageError(f"{name} {text!r}: expected up to 40 letters, digits and dots")
    return text
