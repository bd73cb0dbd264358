"""``g5 plan``: what a run would do and why, with nothing written."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline import configuration
from pipeline.cli.terminal import options
from pipeline.cli.terminal.text_tables import count, duration, plural, size, table
from pipeline.configuration import Settings
from pipeline.operations.planning import run_preview
from pipeline.operations.planning.request_estimate import SourcePlan
from pipeline.operations.planning.run_preview import DUE, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``plan``."""
    parser.description = (
        "Takes the flags of BuildAll. Exit code 0: nothing to do; 3: work to do; "
        "2: it cannot be told. When the cache has no trading calendar, the API is asked for it."
    )
    options.add_request(parser)
    parser.add_argument(
        "--ask-files",
        action="store_true",
        help="ask the API which monthly files it has, about a request for each source; "
        "otherwise every month that is over counts as offered",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document, with every day")
    options.add_settings(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan; returns 0 when there is nothing to do, else 3.

    Raises:
        UsageError: the run would be refused, or the plan cannot be made.
    """
    with options.checking():
        plan = run_preview.plan_of(
            options.settings_of(args),
            args.start,
            args.end,
            chunk_months=args.chunk_months,
            resume=args.resume,
            force=args.force,
            latest_only=args.latest_only,
            refresh_listed=args.refresh_listed,
            ask_files=args.ask_files,
        )
    show(plan, as_json=args.json)
    return plan.exit_code


def show(plan: Plan, as_json: bool) -> None:
    """Print a plan for people, or as one JSON document."""
    if as_json:
        print(json.dumps(to_json(plan)))
    else:
        print("\n".join(lines(plan)))


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan with every missing day."""
    settings = plan.settings
    return {
        "now": configuration.stamp(),
        "output": str(settings.data_output_dir),
        "origin": settings.origin,
        "plan": settings.plan,
        "plan_from": settings.plan_from,
        "start": str(plan.start),
        "end": str(plan.end),
        "chunks": [
            {
                "chunk_id": chunk.chunk_id,
                "action": chunk.action,
                "reason": chunk.reason,
                "first": str(chunk.first),
                "last": str(chunk.last),
                "rows": chunk.rows,
                "bytes": chunk.bytes,
            }
            for chunk in plan.chunks
        ],
        "calendar_asked": plan.calendar_asked,
        "sources": [_source(source) for source in plan.sources],
        "gate": plan.gate,
        "merge": plan.merge,
        "labels": plan.labels,
        "requests": plan.requests,
        "seconds": round(plan.seconds, 1),
        "disk_bytes": plan.disk_bytes,
        "disk_free": plan.disk_free,
        "basis": plan.basis,
        "recheck": plan.recheck,
        "corrections": plan.corrections,
        "problems": list(plan.problems),
        "exit_code": plan.exit_code,
    }


def lines(plan: Plan) -> Iterator[str]:
    """The plan for people."""
    settings = plan.settings
    yield (
        f"plan {plan.start} to {plan.end}, as of {configuration.now():%Y-%m-%d %H:%M} JST: "
        f"plan {settings.plan}{_assumed(settings)}, origin {settings.origin}, "
        f"{settings.data_output_dir}"
    )
    yield ""
    rows = [["CHUNK", "ACTION", "FIRST", "LAST", "ROWS", "SIZE", "WHY"]]
    for chunk in plan.chunks:
        about = "~" if chunk.action in DUE else ""
        numbers = [about + count(chunk.rows), about + size(chunk.bytes)]
        days = [str(chunk.first), str(chunk.last)]
        rows.append([chunk.chunk_id, chunk.action, *days, *numbers, chunk.reason])
    yield from table(rows, right={4, 5})
    yield ""
    if plan.sources:
        yield from table(_source_rows(plan), right={1, 5})
        yield ""
    if plan.due:
        yield f"requests  {_requests(plan)}"
    if plan.exit_code:
        yield f"disk      {size(plan.disk_bytes)} needed, {size(plan.disk_free)} free; {plan.basis}"
        yield f"gate      {plan.gate or 'stands'}"
        yield f"merge     {plan.merge or 'stands'}"
        yield f"labels    {plan.labels or 'stand'}"
        yield ""
    if plan.recheck:
        yield f"recheck   {plan.recheck}"
    if plan.corrections:
        yield f"corrected {plan.corrections}"
    yield from (f"problem: {problem}" for problem in plan.problems)
    yield _closing(plan)


def _assumed(settings: Settings) -> str:
    known = settings.plan_from != "assumption" or settings.source_route == "files"
    return "" if known else " (assumed: not found out yet)"


def _source(source: SourcePlan) -> dict[str, Any]:
    return {
        "source": source.source,
        "missing": list(source.missing),
        "lost": list(source.lost),
        "months": list(source.months),
        "by_request": source.by_request,
        "requests": source.requests,
        "bytes": source.bytes,
    }


def _source_rows(plan: Plan) -> list[list[str]]:
    rows = [
        [
            "SOURCE",
            "DAYS MISSING",
            "FROM",
            "TO",
            "HOW",
            "REQUESTS",
        ]
    ]
    for source in plan.sources:
        days = source.missing or source.lost
        ways = [
            plural(len(source.months), "monthly file") if source.months else "",
            f"{plural(source.by_request, 'day')} by request" if source.by_request else "",
            f"{plural(len(source.lost), 'day')} not to be had" if source.lost else "",
        ]
        how = ", ".join(way for way in ways if way)
        number = count(len(days))
        rows.append([source.source, number, days[0], days[-1], how, count(source.requests)])
    return rows


def _requests(plan: Plan) -> str:
    if not plan.requests:
        return "none: the cache, or the folder of files, has everything"
    about = f"about {plan.requests:,}"
    if plan.calendar_asked:
        about += ", one of them for the trading calendar"
    limits = plan.settings.requests_per_minute
    if limits == 0:
        return f"{about}; no rate limit"
    rate = "the limits of the plan" if limits is None else f"{limits:,} a minute"
    return f"{about}; at least {duration(plan.seconds)} under {rate}"


def _closing(plan: Plan) -> str:
    if not plan.exit_code:
        return f"nothing to do: {plan.start} to {plan.end} is complete"
    actions = Counter(chunk.action for chunk in plan.chunks)
    told = [
        f"{action} {actions[action]}" for action in (*DUE, "skip", "blocked") if action in actions
    ]
    return f"work to do: {', '.join(told)} of {plural(len(plan.chunks), 'chunk')}"
