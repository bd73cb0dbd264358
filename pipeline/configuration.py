"""Settings: declared once, checked before the first request.

Precedence: command line (``--g5-NAME``), environment (upper-case name), the profile of
``g5 run``, the file named by LUIGI_CONFIG_PATH, ``luigi.cfg``, the default below. The API key and
base URL come from the environment alone and never enter a parameter.
"""

from __future__ import annotations

import argparse
import datetime as dt
import difflib
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import luigi
from luigi.configuration import LuigiConfigParser, add_config_path, get_config

from pipeline.api.catalogue.plans import PLANS, Plan
from pipeline.cache.fetch_policy import Mode, Way
from pipeline.errors import UsageError
from pipeline.exit_codes import ExitCode
from pipeline.filesystem.location import place_of
from pipeline.process import log_setup, task_process
from pipeline.run_state.account_memory import AccountBook, Known

if TYPE_CHECKING:
    from pipeline.api.http.client import Origin

OFFICIAL_API = "https://api.jquants.com/v2"
JST = ZoneInfo("Asia/Tokyo")
CACHE_MODES: tuple[Mode, ...] = get_args(Mode)
SourceRoute: TypeAlias = Way | Literal["files"]
ROUTES: tuple[SourceRoute, ...] = (*get_args(Way), "files")
DeclaredOrigin: TypeAlias = Literal["auto", "api", "simulator"]
#: Where the plan comes from: the user, the account, or neither yet.
PlanFrom: TypeAlias = Literal["setting", "account", "assumption"]
CorrectionPolicy: TypeAlias = Literal["new_rows", "rebuild"]
SECTION = "g5"
MOST_THREADS = 200  # fetch threads
INDISPENSABLE = ("trading_calendar", "listed", "daily_bars")

# Needed whatever the working directory; luigi.cfg may override each.
_LUIGI_DEFAULTS = {
    # Luigi's own lock is by command line, ours by output root (run_state.output_lock).
    "core": {"no_configure_logging": "true", "autoload_range": "false", "no_lock": "true"},
    "worker": {
        "force_multiprocessing": "true",
        "task_process_context": "pipeline.process.task_process.TaskProcessSetup",
        "check_complete_on_run": "true",
        # Luigi would send a mail for each failed task of each run: see operations.runs.
        "send_failure_email": "false",
    },
    "retcode": {name: str(code) for name, code in ExitCode.of_luigi().items()},
    "execution_summary": {"summary_length": "50"},
    "scheduler": {"retry_count": "1", "stable_done_cooldown_secs": "0"},
}

# Options of one host. All others decide what is built, and remote workers take them from the run.
_OF_A_HOST = frozenset(
    (
        *("data_output_dir", "bulk_folder", "log_format", "compute_threads"),
        *("columns_in_memory_mb", "index_option_parallel_concurrency", "requests_per_minute"),
    )
)

_PROFILE = "G5_PROFILE"  # a file above luigi.cfg, for this process and those it starts
_HANDED_DOWN = "G5_SETTINGS"  # in the environment of task processes; holds no secret
_Read: TypeAlias = Callable[[str, str], object]  # option name, text
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,39}")


def _one_of(*allowed: str) -> _Read:
    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise UsageError(f"{name} {text!r}: expected one of {', '.join(allowed)}")
        return text

    return read


def _whole(low: int, high: int, none: str | None = None) -> _Read:
    """A whole number within limits; None for the word ``none``."""

    def read(name: str, text: str) -> int | None:
        if text == none:
            return None
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise UsageError(f"{name} {text!r}: expected a whole number from {low} to {high}")
        return value

    return read


def _flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise UsageError(f"{name} {text!r}: expected true or false")
    return text.lower() == "true"


def _date(name: str, text: str) -> dt.date | None:
    if text == "none":
        return None
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=JST).date()
    except ValueError:
        raise UsageError(f"{name} {text!r}: expected YYYY-MM-DD or none") from None


def _tag(name: str, text: str) -> str | None:
    if text == "none":
        return None
    if not _TAG.fullmatch(text):
        raise UsageError(f"{name} {text!r}: expected up to 40 letters, digits and dots")
    return text


def _folder(name: str, text: str) -> Path | None:
    if text == "none":
        return None
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"{name} {folder}: is not a folder")
    return folder


def _sources(name: str, text: str) -> frozenset[str]:
    if text == "none":
        return frozenset()
    from pipeline.api.catalogue.endpoints import ENDPOINTS

    allowed = [e.source for e in ENDPOINTS if e.source not in INDISPENSABLE]
    named = [part.strip() for part in text.split(",")]
    for source in named:
        if source in INDISPENSABLE:
            raise UsageError(f"{name} {source!r}: there is no row without it", "wait for the data")
        if source not in allowed:
            raise UsageError(f"{name} {source!r}: expected none or some of {', '.join(allowed)}")
    return frozenset(named)


def _option(default: str, read: _Read, text: str, name: str | None = None) -> Any:
    """One option: its default as text, what reads a text (name, text), and its help.

    Args:
        name: of the option where the attribute has another one.
    """
    return field(metadata={"default": default, "read": read, "help": text, "name": name})


@dataclass(frozen=True)
class Settings:
    """Checked settings. Every option is declared here and nowhere else.

    ``luigi.cfg``, the flags of commands and tasks, and ``docs/reference/settings.md`` follow from
    this table.

    Attributes:
        plan: the largest while none is set and none is known of the account (``plan_from``).
        requests_per_minute: None for the limit of the plan, 0 for none.
        recheck_requests_per_day: None for the default of the plan.
        declared_origin: the option ``origin``; the property ``origin`` follows from it.
    """

    data_output_dir: Path = _option(
        "output",
        lambda _, text: place_of(text),
        "root of everything that is written: a folder, or s3://bucket/prefix",
    )
    plan: Plan = _option(
        "auto",
        _one_of(*PLANS, "auto"),
        "your J-Quants plan: free, light, standard or premium; auto: found out with two small "
        "requests, and again after a week",
    )
    declared_origin: DeclaredOrigin = _option(
        "auto",
        _one_of(*get_args(DeclaredOrigin)),
        "who answers at JQUANTS_API_BASE: api, also through a proxy on this machine; simulator; "
        "auto: a server on this machine is the simulator, any other the vendor",
        name="origin",
    )
    requests_per_minute: int | None = _option(
        "plan",
        _whole(0, 100_000, none="plan"),
        "plan: the limit of the plan; or a number; 0: no limit",
    )
    source_route: SourceRoute = _option(
        "auto",
        _one_of(*ROUTES),
        "auto: requests by day or monthly files, whichever costs fewer requests; requests; bulk; "
        "files: those in bulk_folder",
    )
    bulk_folder: Path | None = _option(
        "none",
        _folder,
        "folder of downloaded bulk files, for source_route = files",
    )
    source_cache_mode: Mode = _option(
        "read_write",
        _one_of(*CACHE_MODES),
        "read_write: fetch what is missing; read: never ask the API; off: fetch everything again",
    )
    source_cache_force_refresh: bool = _option(
        "false", _flag, "ask again for the days of the open month"
    )
    source_cache_asof: dt.date | None = _option(
        "none", _date, "use only what had arrived by this day, YYYY-MM-DD; none: everything"
    )
    source_cache_tag: str | None = _option(
        "none", _tag, "a name that keeps snapshots apart, such as v1.0.0"
    )
    source_cache_ttl_override_days: int | None = _option(
        "none",
        _whole(0, 36500, none="none"),
        "days after which any source of the open month is checked again; none: up to each source",
    )
    index_option_cache_ttl_days: int = _option(
        "14",
        _whole(0, 36500),
        "days after which index options of the open month are checked again",
    )
    recheck_requests_per_day: int | None = _option(
        "plan",
        _whole(0, 100_000, none="plan"),
        "requests a day that check closed months for corrections; plan: 20 on Free, 30 on Light, "
        "40 on Standard, 60 on Premium; 0: none",
    )
    corrections: CorrectionPolicy = _option(
        "new_rows",
        _one_of(*get_args(CorrectionPolicy)),
        "what a correction in a closed month changes: new_rows: existing rows keep their values, "
        "new rows are computed from it; rebuild: chunks that read it are built again",
    )
    index_option_parallel_concurrency: int = _option(
        "8", _whole(1, MOST_THREADS), "threads that fetch"
    )
    unavailable_sources: frozenset[str] = _option(
        "none",
        _sources,
        "sources to leave out during an outage of the vendor, such as futures,short_sale: columns "
        "that read them are null, the chunk's metadata name them; rebuild with --force afterwards",
    )
    compute_threads: int = _option(
        "2",
        _whole(1, 64),
        "threads of one chunk build; times --workers it should fit the cores",
    )
    columns_in_memory_mb: int = _option(
        "0",
        _whole(0, 10**6),
        "base columns of a chunk build beyond this size wait on disk; more does not make it faster",
    )
    log_format: log_setup.Format = _option(
        "text",
        _one_of(*log_setup.FORMATS),
        "of logs/g5.log: text, or json with one object a line",
    )
    plan_from: PlanFrom = "setting"

    @cached_property
    def api_base(self) -> str:
        return _api_base()

    @property
    def origin(self) -> str:
        """``api``, ``simulator`` or ``files``: where the data come from."""
        return "files" if self.source_route == "files" else self.server

    @property
    def server(self) -> Origin:
        """``api`` or ``simulator``: who answers at the base URL.

        As declared; else a server on this machine is taken for the simulator. The client checks
        that a simulator is one, and that synthetic data do not pass as real.

        Raises:
            UsageError: the base URL is malformed.
        """
        try:
            host = urlsplit(self.api_base).hostname or ""
        except ValueError as error:
            raise UsageError(
                f"JQUANTS_API_BASE: {error}; expected a URL like {OFFICIAL_API}"
            ) from None
        if self.declared_origin != "auto":
            return self.declared_origin
        return "simulator" if host in {"127.0.0.1", "::1", "localhost"} else "api"


@dataclass(frozen=True)
class Option:
    """An option as text; see ``_option``."""

    name: str
    attribute: str
    default: str
    help: str
    read: _Read


def _declared() -> Iterator[Option]:
    for item in fields(Settings):
        if item.metadata:
            meta = item.metadata
            name = meta["name"] or item.name
            yield Option(name, item.name, meta["default"], meta["help"], meta["read"])


OPTIONS = {option.name: option for option in _declared()}


#: The section as Luigi reads it, all options as text.
g5: type[luigi.Config] = type(
    SECTION,
    (luigi.Config,),
    {"__module__": __name__, "__doc__": "Settings of g5."}
    | {
        name: luigi.Parameter(option.default, description=option.help)
        for name, option in OPTIONS.items()
    },
)


def install_defaults() -> None:
    """Set what a correct run needs of Luigi, and let the environment override the files."""
    profile = os.environ.get(_PROFILE)
    if profile and profile not in LuigiConfigParser._config_paths:  # noqa: SLF001  (no way to ask)
        add_config_path(profile)
    config = get_config()
    for section, values in _LUIGI_DEFAULTS.items():
        for key, value in values.items():
            if not config.has_option(section, key):
                config.set(section, key, value)
    for name in OPTIONS:
        override = os.environ.get(name.upper())
        if override is not None:
            config.set(SECTION, name, override.replace("%", "%%"))
    if task_process.is_command() and not config.has_option("worker", "id"):
        config.set("worker", "id", _worker_id().replace("%", "%%"))


def _worker_id() -> str:
    """The worker id of all runs of an output root, of which there is one at a time.

    A central scheduler keeps the tasks of a killed run as running, but reassigns them at once to
    a worker with the same id. Luigi has not parsed the flags yet, hence this parser.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--g5-data-output-dir")
    parser.add_argument("--assistant", action="store_true")
    flags, _ = parser.parse_known_args(sys.argv[1:])
    root = flags.g5_data_output_dir or get_config().get(SECTION, "data_output_dir", "output")
    one_of_many = f"/{os.getpid()}" if flags.assistant else ""
    return f"g5@{socket.gethostname()}:{place_of(root)}{one_of_many}"


def use_profile(path: Path) -> None:
    """Load a file that overrides luigi.cfg, in this process and those it starts."""
    os.environ[_PROFILE] = str(path)
    install_defaults()


def changed() -> dict[str, str]:
    """The options that differ from their defaults, as text. None is a secret."""
    given = vars(_raw())
    return {name: given[name] for name, o in OPTIONS.items() if given[name] != o.default}


def given() -> dict[str, str]:
    """Every option as text."""
    return {name: str(value) for name, value in vars(_raw()).items()}


def decisive() -> dict[str, str]:
    """The options that decide what is built, as text: the same on every host of a run.

    The plan is the resolved one: other hosts have no key to find it out.
    """
    options = {name: value for name, value in given().items() if name not in _OF_A_HOST}
    return options | {"plan": settings().plan}


def environment(options: Mapping[str, str], server: str) -> dict[str, str]:
    """Environment variables that give task processes these options instead of the files'.

    Args:
        server: ``api`` or ``simulator``. A remote worker never fetches: its base URL only says
            which.
    """
    base = OFFICIAL_API if server == "api" else "http://localhost"
    handed_down = dict(options) | {"origin": server}
    return {_HANDED_DOWN: json.dumps(handed_down), "JQUANTS_API_BASE": base}


def override(options: Mapping[str, str]) -> None:
    """Override files and environment, as flags do."""
    for name, value in options.items():
        get_config().set(SECTION, name, value.replace("%", "%%"))


def settings() -> Settings:
    """The settings of this run.

    Raises:
        UsageError: a value is malformed; names the option, the value and what is expected.
    """
    raw = vars(_raw())
    values: dict[str, Any] = {
        option.attribute: option.read(name, raw[name]) for name, option in OPTIONS.items()
    }
    route, root = values["source_route"], values["data_output_dir"]
    # A remote worker takes the route over from its run and fetches nothing: it needs no folder.
    if route == "files" and values["bulk_folder"] is None and task_process.is_main_process():
        raise UsageError("bulk_folder none: source_route files needs the folder of the files")
    values["plan"], values["plan_from"] = _resolved_plan(values["plan"], route, root)
    return Settings(**values)


def at_root(settings: Settings, root: Path) -> Settings:
    """The same settings for another output root, with the plan known there."""
    plan, plan_from = _resolved_plan(_raw().plan, settings.source_route, root)
    return replace(settings, data_output_dir=root, plan=plan, plan_from=plan_from)


def known_plan(root: Path) -> Known | None:
    """The plan of this account as found out by this or an earlier run.

    Without a key in the environment (read-only commands need none): that of the last key.
    """
    account = _account(root)
    if account not in _plans:
        key = os.environ.get("JQUANTS_API_KEY", "")
        _plans[account] = AccountBook(root).known(_api_base(), key)
    return _plans[account]


def plan_found(root: Path, plan: Plan) -> Known:
    """Set what ``known_plan`` returns in this process and the task processes it starts."""
    known = Known(plan, now().replace(tzinfo=JST))
    _plans[_account(root)] = known
    _raw()  # passes it to task processes
    return known


#: Plans by output root, base URL and key.
_plans: dict[tuple[str, str, int], Known | None] = {}


def _account(root: Path) -> tuple[str, str, int]:
    return str(root), _api_base(), hash(os.environ.get("JQUANTS_API_KEY", ""))


def _api_base() -> str:
    return os.environ.get("JQUANTS_API_BASE", OFFICIAL_API).rstrip("/")


def _resolved_plan(chosen: str, route: SourceRoute, root: Path) -> tuple[Plan, PlanFrom]:
    """The plan to go by, and where it comes from."""
    if chosen != "auto":
        return cast(Plan, chosen), "setting"
    known = None if route == "files" else known_plan(root)
    return (PLANS[-1], "assumption") if known is None else (cast(Plan, known.plan), "account")


def _raw() -> SimpleNamespace:
    """The options as text. A task process reads those of its main process: a spawned process does
    not get the flags of the command line."""
    if not task_process.is_main_process() and _HANDED_DOWN in os.environ:
        return SimpleNamespace(**json.loads(os.environ[_HANDED_DOWN]))
    _check_names()
    options = g5()
    texts = {name: str(getattr(options, name)) for name in OPTIONS}
    os.environ[_HANDED_DOWN] = json.dumps(texts | _found(texts))
    return SimpleNamespace(**texts)


def _found(texts: Mapping[str, str]) -> dict[str, str]:
    """The plan this process has found out, so that task processes need not ask."""
    if texts["plan"] != "auto" or texts["source_route"] == "files":
        return {}
    known = _plans.get(_account(place_of(texts["data_output_dir"])))
    return {} if known is None else {"plan": known.plan}


def api_key() -> str:
    """The API key from the environment.

    Raises:
        UsageError: there is none.
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
    """The time of this run, naive JST.

    Fixed on first use and passed to task processes in the environment, so that all processes of a
    run agree. G5_NOW (ISO 8601, JST without an offset) replaces the clock.
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
    """The time of the run, or earlier by ``ago``: ISO 8601 with offset."""
    return (now() - ago).replace(microsecond=0, tzinfo=JST).isoformat()


def _check_names() -> None:
    """Refuse unknown options: a misspelt one would silently do nothing."""
    config = get_config()
    found = config.options(SECTION) if config.has_section(SECTION) else []
    for name in found:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, sorted(OPTIONS), n=1, cutoff=0.0)[0]
            raise UsageError(f"config [{SECTION}] {name}: unknown option", f"did you mean {near}?")
