"""Facts of a dataset that never was: as many chunks as asked, with gaps, warnings and runs."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

from pipeline.features.engine.catalogue import column_schema
from pipeline.market.calendar.periods import Period
from pipeline.report.chunk_profile import DRIFT, Month, Profile, Session, base_columns
from pipeline.report.report_facts import (
    ChunkFacts,
    CorrectionFacts,
    DatasetFacts,
    Facts,
    RunFacts,
    SourceFacts,
    Surface,
)

HASH = "0123456789abcdef"


def facts(chunks: int = 2, **changes: object) -> Facts:
    """A report of some quarters from 2020 on, with something to say in every section."""
    found = tuple(_chunk(2020 * 4 + at) for at in range(chunks))
    rows = sum(chunk.rows or 0 for chunk in found)
    made = Facts(
        generated_at="2025-01-06T00:10:00+00:00",
        run_id="0123456789ab",
        origin="simulator",
        schema_version="1.0.0",
        schema_hash=HASH,
        code_version="0.1.0+01234567",
        dataset=DatasetFacts(
            name="ml_dataset_20200106_20241230_20250106T000900Z_full.parquet",
            rows=rows,
            columns=len(column_schema()),
            first=found[0].first or "",
            last=found[-1].last or "",
            merged_at="2025-01-06T00:09:00+00:00",
            bytes=926_000_000 * chunks,
            label_rows=rows,
            label_columns=40,
            null_rates={name: (at % 100) / 100 for at, name in enumerate(column_schema().names)},
        ),
        chunks=found,
        gate=None,
        merge=None,
        sources=(
            SourceFacts(
                "daily_bars", True, "2017-07-03", "2024-12-30", 7_412_345, "bulk+requests",
                "2025-01-06T03:05:00+09:00", "2025-01-06T08:05:00+09:00", 0.04,
            ),
            SourceFacts(
                "index_option", True, "2017-07-03", "2024-12-30", 1_200_345, "requests",
                "2024-12-30T03:05:00+09:00", "2024-12-30T08:05:00+09:00", 7.04,
            ),
            SourceFacts("listed", True),
            SourceFacts("futures", False),
        ),
        runs=(
            RunFacts("89abcdef0123", "BuildAll", "incremental", "2025-01-06T08:00:00+09:00", 312.0,
                     "done", None, 1, 48, 2_650_000_000),
            RunFacts("456789abcdef", "BuildAll", "production", "2025-01-05T08:00:00+09:00", 5012.0,
                     "failed", "BuildChunk 2024Q4: MissingData: 3 days of topix did not come", 3,
                     5012, 2_950_000_000),
        ),
        corrections=(
            CorrectionFacts("daily_bars", "2025-01-06", 2, "2024-12-25", "2024-12-26", 8210, 8210),
        ),
        corrected=2,
        surface=Surface(
            "2024-12-30",
            (11, 39, 74, 158),
            tuple(round(0.8 + 0.05 * at, 2) for at in range(9)),
            tuple(
                tuple(
                    None if days == 158 and at == 0 else round(0.18 + 0.012 * abs(at - 4.5) + 0.3 / days, 4)
                    for at in range(9)
                )
                for days in (11, 39, 74, 158)
            ),
            412,
        ),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def _chunk(quarter: int) -> ChunkFacts:
    """A quarter since year 0."""
    year, number = divmod(quarter, 4)
    period = Period.parse(f"{year}Q{number + 1}")
    days = [period.first_day + dt.timedelta(days=at) for at in range(92)]
    weekdays = [day for day in days if day <= period.last_day and day.weekday() < 5]
    members = (1600 + quarter % 20, 1500 - quarter % 30, 400 + 5 * (quarter % 40))
    sessions = {
        str(day): Session(
            (members[0] - (3 if day.day == 13 else 0), members[1] - (90 if day.day == 20 else 0),
             members[2], 0),
            None if day.day == 9 else members,
            (round(0.01 * math.sin(day.toordinal()), 6),
             round(0.2 + 0.05 * math.sin(day.toordinal() / 30), 6)),
        )
        for day in weekdays
    }  # fmt: skip
    months = {}
    for month in sorted({str(day)[:7] for day in weekdays}):
        at = 12 * year + int(month[5:7])
        months[month] = Month(
            rows=sum(one.total for day, one in sessions.items() if day[:7] == month),
            nulls={
                family: round(min(1.0, 0.04 * n * (1 + 0.3 * math.sin(at + n))), 6)
                for n, family in enumerate(base_columns())
            },
            spread={
                name: (-1.0 - 0.1 * n, 0.1 * math.sin(at / 3 + n), 1.0 + 0.2 * n)
                for n, name in enumerate(DRIFT)
            },
        )
    return ChunkFacts(
        chunk_id=period.chunk_id,
        included=True,
        build_id=f"{quarter:032x}",
        state="completed",
        reason=None,
        rows=sum(one.total for one in sessions.values()),
        first=str(weekdays[0]),
        last=str(weekdays[-1]),
        built="2025-01-06T00:05:00+00:00",
        schema_hash=HASH,
        schema_version="1.0.0",
        bytes=926_000_000,
        warnings=("rows differ from the listing records on 3 of 62 sessions, first 2020-01-13",)
        if number == 0
        else (),
        unavailable=("futures",),
        profile=Profile(sessions, months),
    )
