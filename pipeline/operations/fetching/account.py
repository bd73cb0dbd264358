"""The plan of the account: found out once, remembered, and blamed by name when it is refused.

1. ``settled`` gives the settings of a run their plan before anything else is asked: the one that
   is set, else the one an earlier run found out in the last days, else two small requests.
2. ``keep`` writes it down once the run holds its output root.
3. ``explained`` says what a refusal in the middle of a fetch is about. A key or a plan that does
   not do would be refused for every other source too: the run ends there.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pipeline import configuration
from pipeline.api.catalogue.endpoints import ENDPOINTS, endpoint_of
from pipeline.api.catalogue.plans import PLANS, covers
from pipeline.api.http.client import ApiSession
from pipeline.api.http.retry import hint_for
from pipeline.api.http.subscription import FoundPlan, find_plan, why_refused
from pipeline.configuration import INDISPENSABLE, Settings
from pipeline.errors import ApiError, PipelineError, UsageError
from pipeline.operations.fetching.source_fetch import counted, flush_ledger, open_session
from pipeline.process import task_process
from pipeline.run_state.account_memory import AccountBook
from pipeline.run_state.output_root import check_output

#: An upgrade is noticed within this time; whoever upgrades may also set ``plan``.
RECHECK_AFTER = dt.timedelta(days=7)

_REFUSALS = (401, 403)
_TOO_MANY = 429
_PATHS = frozenset((*(endpoint.path for endpoint in ENDPOINTS), "/bulk/list", "/bulk/get"))

log = logging.getLogger(__name__)

_unkept: dict[str, FoundPlan] = {}  # found by this process, not written yet; by output root


def settled(settings: Settings, *, noted: bool = True) -> Settings:
    """The settings with a plan to go by, found out with two requests where nobody has said it.

    A folder of files and a cache that is only read need none. A plan found out earlier does while
    the server fails.

    Args:
        noted: False leaves the requests out of the ledger of what this account sent.

    Raises:
        ApiError: the key is refused, or the server failed and no plan is known.
        UsageError: no key, or another origin than expected.
    """
    asks = settings.source_route != "files" and settings.source_cache_mode != "read"
    if settings.plan_from == "setting" or not asks or _is_fresh(settings):
        return settings
    root = settings.data_output_dir
    try:
        with _asking(settings, noted=noted) as session:
            found = find_plan(session, configuration.now().date())
    except ApiError as error:
        failed = error.status is None or error.status >= _TOO_MANY
        if settings.plan_from == "account" and failed:
            log.warning("plan: %s, as found out before; asking again failed", settings.plan)
            return settings
        raise
    configuration.plan_found(root, found.plan)
    _unkept[str(root)] = found
    return replace(settings, plan=found.plan, plan_from="account")


def keep(settings: Settings) -> None:
    """Write down the plan this process has found out, if it has, and say so.

    Raises:
        UsageError: the output root is no folder that can be written to.
        StorageError: the file system refused.
    """
    root = settings.data_output_dir
    found = _unkept.pop(str(root), None)
    if found is None:
        return
    check_output(root)
    remember(settings, found)
    flush_ledger(root)
    log.info(
        "plan: %s (found out with %d requests; set plan = %s to skip this)",
        *(found.plan, found.requests, found.plan),
    )


def remember(settings: Settings, found: FoundPlan) -> None:
    """Write down what the account of these settings turned out to have, for the runs to come.

    Raises:
        StorageError: the file system refused.
    """
    root = settings.data_output_dir
    known = configuration.plan_found(root, found.plan)
    AccountBook(root).remember(settings.api_base, configuration.api_key(), known)


@contextmanager
def explained(settings: Settings, source: str) -> Iterator[None]:
    """An answer 401 or 403 within the block says what it is about, and ends the run if no other
    source can do better.

    Raises:
        UsageError: the account's plan is smaller than the one this run goes by.
        ApiError: refused for another reason, with what to do about that.
    """
    try:
        yield
    except ApiError as error:
        if error.status not in _REFUSALS or error.endpoint not in _PATHS:
            raise
        raise _explanation(settings, source, error) from error


@contextmanager
def _asking(settings: Settings, *, noted: bool = True) -> Iterator[ApiSession]:
    """A session at the pace of the smallest plan: nobody knows yet which it is."""
    with (
        open_session(replace(settings, plan=PLANS[0]), noted=noted) as session,
        counted(session, "plan"),
    ):
        yield session


def _is_fresh(settings: Settings) -> bool:
    known = configuration.known_plan(settings.data_output_dir)
    if known is None:
        return False
    age = configuration.now().replace(tzinfo=configuration.JST) - known.found_at
    return abs(age) <= RECHECK_AFTER


def _explanation(settings: Settings, source: str, refused: ApiError) -> PipelineError:
    """What a refusal is about; as the server's words say it, where asking makes it no clearer."""
    today = configuration.now().date()
    try:
        with _asking(settings) as session:
            kind = why_refused(session, refused, today)
            found = find_plan(session, today) if kind == "plan" else None
    except ApiError:
        return refused
    if found is not None:
        return _of_the_plan(settings, source, refused, found)
    if kind == "path":
        return refused
    _end_run()
    return _with_hint(refused, hint_for(401)) if kind == "key" else refused


def _of_the_plan(
    settings: Settings, source: str, refused: ApiError, found: FoundPlan
) -> PipelineError:
    if not covers(found.plan, settings.plan):
        remember(settings, found)
        _end_run()
        return UsageError(
            f"plan {settings.plan!r}: the account has {found.plan!r}; {refused.message}",
            f"set plan to {found.plan} or auto (luigi.cfg, PLAN or --g5-plan) and run again",
        )
    if refused.endpoint != endpoint_of(source).path:
        return _with_hint(refused, "set source_route to requests (--g5-source-route)")
    if source in INDISPENSABLE:
        return _with_hint(refused, "there is no row without it; ask the vendor")
    return _with_hint(
        refused,
        f"the account's plan {found.plan} should have it; to go without: "
        f"unavailable_sources = {source} (--g5-unavailable-sources)",
    )


def _with_hint(error: ApiError, hint: str) -> ApiError:
    return ApiError(
        error.endpoint,
        error.params,
        status=error.status,
        server_message=error.server_message,
        hint=hint,
    )


def _end_run() -> None:
    """Have the run ask for no further task: Luigi's SIGUSR1, to the worker of this task.

    What runs beside it is finished; the run ends with the exit code of a failed task. A worker that
    does not listen would be killed by the signal, and so would whoever took its place as parent.
    """
    if task_process.HELPER in os.environ:
        return
    if task_process.is_main_process():
        if task_process.is_command("luigi") and callable(signal.getsignal(signal.SIGUSR1)):
            signal.raise_signal(signal.SIGUSR1)
        return
    worker = os.getppid()
    if task_process.is_parent(worker) and task_process.catches(worker, signal.SIGUSR1):
        os.kill(worker, signal.SIGUSR1)
