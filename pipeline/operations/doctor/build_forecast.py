"""What this machine holds, and what a build of five years would take: estimates of ``g5 plan``."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from pipeline import configuration
from pipeline.api.catalogue.plans import Plan, window
from pipeline.configuration import Settings
from pipeline.errors import PipelineError
from pipeline.filesystem.location import on_host
from pipeline.market.calendar.sessions import TradingCalendar
from pipeline.operations.cluster import host_capacity
from pipeline.operations.doctor.diagnosis import Check
from pipeline.operations.planning import run_plan, run_preview
from pipeline.run_state import output_lock

_BUILD_YEARS = 5


def prospects(settings: Settings, plan: Plan, calendar: TradingCalendar | None) -> Iterator[Check]:
    """Whether machine and disk hold a run, and how long it takes.

    Args:
        plan: of the account.
        calendar: of the server; None when it has none.
    """
    root = settings.data_output_dir
    pid = output_lock.holder(root)
    if pid is not None:
        yield Check(
            "warning", "run", "another", f"a run (pid {pid}) uses the same output and key now",
            "run g5 doctor again when it has ended: both share the limit",
        )  # fmt: skip
    can = host_capacity.of_host(settings.compute_threads)
    memory, cores = host_capacity.memory(), host_capacity.cores()
    facts = {"cores": cores, "memory_bytes": memory, "builds": can.builds}
    text = f"{cores} cores, {memory / 2**30:.1f} GiB: {can.builds} chunk builds at a time"
    if memory < host_capacity.BUILD_BYTES:
        need = f"a chunk of the whole market takes {host_capacity.BUILD_BYTES / 2**30:.1f} GiB"
        yield Check("warning", "machine", "small", f"{text}; {need}", "use a larger machine", facts)
    else:
        yield Check("ok", "machine", "holds", text, "", facts)
    yield from _build(settings, plan, calendar)


def _build(settings: Settings, plan: Plan, calendar: TradingCalendar | None) -> Iterator[Check]:
    """What five years would take, or as many as the plan shows."""
    root = settings.data_output_dir
    if calendar is None:
        free = shutil.disk_usage(_existing(on_host(root))).free
        yield Check(
            "ok", "disk", "free", f"{free / 1e9:,.1f} GB free; need unknown without a calendar",
            "", {"free_bytes": free},
        )  # fmt: skip
        return
    known = replace(settings, plan=plan, plan_from="setting")
    try:
        end = run_plan.last_published(known, calendar)
        opens = window(plan, configuration.now().date())[0]
        start = max(_years_before(end), opens, date_of(calendar.sessions[0]))
        would = run_preview.plan_of(known, start, end, calendar=calendar)
    except PipelineError as error:
        yield Check("problem", "build", "refused", error.message, error.hint)
        return
    facts = {
        "days": (end - start).days,
        "requests": would.requests,
        "seconds": round(would.seconds),
        "disk_bytes": would.disk_bytes,
        "free_bytes": would.disk_free,
    }
    minutes = would.seconds / 60
    yield Check(
        "ok", "build", "estimated",
        f"{start} to {end}: about {would.requests:,} requests, at least {minutes:,.0f} min under "
        f"the limit, {would.disk_bytes / 1e9:,.1f} GB ({would.basis})",
        "", facts,
    )  # fmt: skip
    text = f"{would.disk_free / 1e9:,.1f} GB free, {would.disk_bytes / 1e9:,.1f} GB needed"
    if would.disk_bytes > would.disk_free:
        then = "data_output_dir = a folder on a larger disk, or a later --start"
        yield Check("problem", "disk", "full", text, then, facts)
    else:
        yield Check("ok", "disk", "holds", text, "", facts)


def _years_before(day: dt.date) -> dt.date:
    return (day - dt.timedelta(days=round(365.25 * _BUILD_YEARS))).replace(day=1)


def date_of(day: np.datetime64) -> dt.date:
    """The date of a session."""
    return cast(dt.date, day.astype("datetime64[D]").astype(object))


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
