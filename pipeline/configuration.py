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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import luigi
from luigi.configuration import LuigiConfigParser, add_config_path, get_config

from pipeline.api.catalogue.plans import PLANS, Plan
from pipeline.cache.fetch_policy import Mode, Way
from pipeline.errors import UsageError
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
ORIGINS: tuple[DeclaredOrigin, ...] = get_args(DeclaredOrigin)
#: Where the plan comes from: the user, the account itself, or nowhere yet.
PlanFrom: TypeAlias = Literal["setting", "account", "assumption"]
Taking: TypeAlias = Literal["new_rows", "rebuild"]  # of corrections
TAKINGS: tuple[Taking, ...] = get_args(Taking)
SECTION = "g5"
MOST_THREADS = 200  # that fetch
INDISPENSABLE = ("trading_calendar", "listed", "daily_bars")

# What a run needs of Luigi whatever the working directory: luigi.cfg may override each.
_LUIGI_DEFAULTS = {
    # Luigi's own lock goes by the command line, ours by the output root (planning.hold_output).
    "core": {"no_configure_logging": "true", "autoload_range": "false", "no_lock": "true"},
    "worker": {
        "force_multiprocessing": "true",
        "task_process_context": "pipeline.process.task_process.TaskProcessSetup",
        "check_complete_on_run": "true",
        # Luigi's mail would be one for every failed task of every run: see tasks.notify.
        "send_failure_email": "false",
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

# Options of a host. All others decide what is built: a helper takes them over from its run.
_OF_A_HOST = frozenset(
    (
        *("data_output_dir", "bulk_folder", "log_format", "compute_threads"),
        *("columns_in_memory_mb", "index_option_parallel_concurrency", "requests_per_minute"),
    )
)

_PROFILE = "G5_PROFILE"  # a file above luigi.cfg, for this process and those it starts
_HANDED_DOWN = "G5_SETTINGS"  # environment of the task processes; holds no secret
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9.]{0,39}")


class g5(luigi.Config):  # noqa: N801  (the name is the section)
    """What an operator may change."""

    data_output_dir = luigi.Parameter(
        default="output", description="root of everything written: a folder or s3://bucket/prefix"
    )
    plan = luigi.Parameter(
        default="auto",
        description="free, light, standard or premium; auto: found out with two requests",
    )
    origin = luigi.Parameter(
        default="auto",
        description="who answers: api or simulator; auto: the simulator on this machine, else api",
    )
    requests_per_minute = luigi.Parameter(
        default="plan", description="plan: the limit of the plan; 0: none; or a number"
    )
    source_route = luigi.Parameter(
        default="auto",
        description="auto: what costs the fewest requests; requests; bulk; files: of bulk_folder",
    )
    bulk_folder = luigi.Parameter(default="none", description="folder of downloaded bulk files")
    source_cache_mode = luigi.Parameter(default="read_write", description="read_write, read, off")
    source_cache_force_refresh = luigi.Parameter(default="false")
    source_cache_asof = luigi.Parameter(default="none", description="YYYY-MM-DD or none")
    source_cache_tag = luigi.Parameter(default="none", description="letters, digits and dots")
    source_cache_ttl_override_days = luigi.Parameter(default="none", description="days or none")
    index_option_cache_ttl_days = luigi.Parameter(default="14")
    recheck_requests_per_day = luigi.Parameter(
        default="plan", description="for closed months; plan: a few, by the plan; 0: none"
    )
    corrections = luigi.Parameter(
        default="new_rows",
        description="of closed months: new_rows takes them into new rows only; rebuild: into all",
    )
    index_option_parallel_concurrency = luigi.Parameter(default="8", description="threads")
    unavailable_sources = luigi.Parameter(
        default="none",
        description="sources to go without, separated by commas: what reads them is null",
    )
    compute_threads = luigi.Parameter(default="2", description="threads of one chunk build")
    columns_in_memory_mb = luigi.Parameter(
        default="0",
        description="base columns of a chunk build beyond this wait on disk for their rows",
    )
    log_format = luigi.Parameter(default="text", description="of logs/g5.log: text or json")


@dataclass(frozen=True)
class Settings:
    """Checked settings; attribute names are the option names.

    ``requests_per_minute`` is None for the limits of the plan, 0 for none;
    ``recheck_requests_per_day`` is None for the default of the plan.
    ``unavailable_sources`` is an outage the operator declares, on top of what the plan lacks.
    ``plan`` is the largest as long as none is set and none was found out (``plan_from``): what
    looks and does not ask needs none, and a folder of files has what it has.
    ``declared_origin`` is the option ``origin``; ``origin`` is what follows from it.
    """

    data_output_dir: Path
    plan: Plan
    requests_per_minute: int | None
    source_route: SourceRoute
    bulk_folder: Path | None
    source_cache_mode: Mode
    source_cache_force_refresh: bool
    source_cache_asof: dt.date | None
    source_cache_tag: str | None
    source_cache_ttl_override_days: int | None
    index_option_cache_ttl_days: int
    recheck_requests_per_day: int | None
    corrections: Taking
    index_option_parallel_concurrency: int
    unavailable_sources: frozenset[str]
    compute_threads: int
    columns_in_memory_mb: int
    log_format: log_setup.Format
    plan_from: PlanFrom = "setting"
    declared_origin: DeclaredOrigin = "auto"

    @cached_property
    def api_base(self) -> str:
        return _api_base()

    @property
    def origin(self) -> str:
        """``api``, ``simulator`` or ``files``: where the data of this run come from."""
        return "files" if self.source_route == "files" else self.server

    @property
    def server(self) -> Origin:
        """``api`` or ``simulator``: who answers at the base URL.

        As declared; else only a server on this machine is taken for the simulator. The client
        checks that a simulator is one, and that synthetic data do not pass for real.

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


def install_defaults() -> None:
    """Give Luigi the settings a correct run needs, and put the environment above the files."""
    profile = os.environ.get(_PROFILE)
    if profile and profile not in LuigiConfigParser._config_paths:  # noqa: SLF001  (no way to ask)
        add_config_path(profile)
    config = get_config()
    for section, values in _LUIGI_DEFAULTS.items():
        for key, value in values.items():
            if not config.has_option(section, key):
                config.set(section, key, value)
    for name, _ in g5.get_params():
        override = os.environ.get(name.upper())
        if override is not None:
            config.set(SECTION, name, override.replace("%", "%%"))
    if task_process.is_command() and not config.has_option("worker", "id"):
        config.set("worker", "id", _worker_id().replace("%", "%%"))


def _worker_id() -> str:
    """The same for every run of an output root, of which there is one at a time.

    A central scheduler holds the tasks of a killed run for running; to a worker of the same
    name it hands them back at once. Command line flags are not parsed yet, hence this parser.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--g5-data-output-dir")
    parser.add_argument("--assistant", action="store_true")
    flags, _ = parser.parse_known_args(sys.argv[1:])
    root = flags.g5_data_output_dir or get_config().get(SECTION, "data_output_dir", "output")
    one_of_many = f"/{os.getpid()}" if flags.assistant else ""
    return f"g5@{socket.gethostname()}:{place_of(root)}{one_of_many}"


def use_profile(path: Path) -> None:
    """Put a file above luigi.cfg and below the environment, here and in what is started here."""
    os.environ[_PROFILE] = str(path)
    install_defaults()


def option_names() -> list[str]:
    """Every option, as it is named in a configuration file."""
    return [name for name, _ in g5.get_params()]


def changed() -> dict[str, str]:
    """The options that differ from their defaults, as text; none of them is a secret."""
    given = vars(_raw())
    return {n: given[n] for n, p in g5.get_params() if given[n] != str(p._default)}  # noqa: SLF001


def given() -> dict[str, str]:
    """Every option as text, from wherever it comes."""
    return {name: str(value) for name, value in vars(_raw()).items()}


def decisive() -> dict[str, str]:
    """The options that decide what is built, as text: the same on every host of a run.

    The plan is the one this run goes by: other hosts have no key to find it out.
    """
    options = {name: value for name, value in given().items() if name not in _OF_A_HOST}
    return options | {"plan": settings().plan}


def environment(options: Mapping[str, str], server: str) -> dict[str, str]:
    """What gives task processes these options, and data of this origin, whatever the files say.

    Args:
        server: ``api`` or ``simulator``. Of a host that builds and never fetches, the address only
            says that.
    """
    base = OFFICIAL_API if server == "api" else "http://localhost"
    handed_down = dict(options) | {"origin": server}
    return {_HANDED_DOWN: json.dumps(handed_down), "JQUANTS_API_BASE": base}


def override(options: Mapping[str, str]) -> None:
    """Put values above those of files and environment, as flags of a command do."""
    for name, value in options.items():
        get_config().set(SECTION, name, value.replace("%", "%%"))


def settings() -> Settings:
    """The settings of this run.

    Raises:
        UsageError: a value is malformed; the text names the option, the value and what would do.
    """
    raw = _raw()
    route = cast(SourceRoute, _choice("source_route", raw.source_route, ROUTES))
    root = place_of(raw.data_output_dir)
    plan, plan_from = _plan(raw.plan, route, root)
    return Settings(
        data_output_dir=root,
        plan=plan,
        plan_from=plan_from,
        declared_origin=cast(DeclaredOrigin, _choice("origin", raw.origin, ORIGINS)),
        requests_per_minute=(
            None
            if raw.requests_per_minute == "plan"
            else _whole("requests_per_minute", raw.requests_per_minute, 0, 100_000)
        ),
        source_route=route,
        bulk_folder=_bulk_folder(raw.bulk_folder, route),
        source_cache_mode=cast(
            Mode, _choice("source_cache_mode", raw.source_cache_mode, CACHE_MODES)
        ),
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
        recheck_requests_per_day=(
            None
            if raw.recheck_requests_per_day == "plan"
            else _whole("recheck_requests_per_day", raw.recheck_requests_per_day, 0, 100_000)
        ),
        corrections=cast(Taking, _choice("corrections", raw.corrections, TAKINGS)),
        index_option_parallel_concurrency=_whole(
            "index_option_parallel_concurrency",
            raw.index_option_parallel_concurrency,
            1,
            MOST_THREADS,
        ),
        unavailable_sources=_sources("unavailable_sources", raw.unavailable_sources),
        compute_threads=_whole("compute_threads", raw.compute_threads, 1, 64),
        columns_in_memory_mb=_whole("columns_in_memory_mb", raw.columns_in_memory_mb, 0, 10**6),
        log_format=cast(log_setup.Format, _choice("log_format", raw.log_format, log_setup.FORMATS)),
    )


def at_root(settings: Settings, root: Path) -> Settings:
    """The same settings for another output root, which may know the plan of another account."""
    plan, plan_from = _plan(_raw().plan, settings.source_route, root)
    return replace(settings, data_output_dir=root, plan=plan, plan_from=plan_from)


def known_plan(root: Path) -> Known | None:
    """The plan of this account as an earlier run, or this one, has found it out.

    Without a key in the environment, which who only looks need not have: that of the last key.
    """
    account = _account(root)
    if account not in _plans:
        key = os.environ.get("JQUANTS_API_KEY", "")
        _plans[account] = AccountBook(root).known(_api_base(), key)
    return _plans[account]


def plan_found(root: Path, plan: Plan) -> Known:
    """What ``known_plan`` says from now on in this process and in the task processes it starts."""
    known = Known(plan, now().replace(tzinfo=JST))
    _plans[_account(root)] = known
    _raw()  # hands it down
    return known


#: Plans by output root, address and key, as far as this process has looked for them.
_plans: dict[tuple[str, str, int], Known | None] = {}


def _account(root: Path) -> tuple[str, str, int]:
    return str(root), _api_base(), hash(os.environ.get("JQUANTS_API_KEY", ""))


def _api_base() -> str:
    return os.environ.get("JQUANTS_API_BASE", OFFICIAL_API).rstrip("/")


def _plan(text: str, route: SourceRoute, root: Path) -> tuple[Plan, PlanFrom]:
    """The plan to go by, and where it comes from."""
    chosen = _choice("plan", text, (*PLANS, "auto"))
    if chosen != "auto":
        return cast(Plan, chosen), "setting"
    known = None if route == "files" else known_plan(root)
    return (PLANS[-1], "assumption") if known is None else (cast(Plan, known.plan), "account")


def _raw() -> SimpleNamespace:
    """The options as text. A task process gets them from its main process: flags given on the
    command line do not reach a spawned process by themselves."""
    if not task_process.is_main_process() and _HANDED_DOWN in os.environ:
        return SimpleNamespace(**json.loads(os.environ[_HANDED_DOWN]))
    _check_names()
    options = g5()
    texts = {name: str(getattr(options, name)) for name, _ in g5.get_params()}
    os.environ[_HANDED_DOWN] = json.dumps(texts | _found(texts))
    return SimpleNamespace(**texts)


def _found(texts: Mapping[str, str]) -> dict[str, str]:
    """The plan this process has found out, for task processes to go by without asking."""
    if texts["plan"] != "auto" or texts["source_route"] == "files":
        return {}
    known = _plans.get(_account(place_of(texts["data_output_dir"])))
    return {} if known is None else {"plan": known.plan}


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


def _bulk_folder(text: str, route: SourceRoute) -> Path | None:
    if text == "none":
        # A helper takes the route over from its run and fetches nothing: it has no such folder.
        if route == "files" and task_process.is_main_process():
            raise UsageError("bulk_folder none: source_route files needs the folder of the files")
        return None
    folder = Path(text).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"bulk_folder {folder}: is not a folder")
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
