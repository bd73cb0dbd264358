"""Requests, bulk files and a local folder: one table, whatever the way."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.api.bulk import download, list_files, read_csv
from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.day_requests import collect_dates, fetch_range
from pipeline.api.decode.row_checks import days_of
from pipeline.api.local_files import find_files
from tests.api.bulk_server import BulkServer, as_csv, packed, wire_row
from tests.api.fakes import FakeServer, Reply, Request, session_to

INDUSTRIES = ("0050", "1050", "2050", "3050", "9999", "3100", "3150", "3200", "3250")
DAYS = [dt.date(2024, 1, day) for day in (4, 5, 9)]
FIRST, LAST = DAYS[0], DAYS[-1]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: row.source)


def rows_of(endpoint: Endpoint, *, plan_is_premium: bool = True) -> list[dict[str, Any]]:
    """Five rows a day in no order: every missing mark, odd numbers, letters, long names."""
    texts = [
        field.name
        for field in endpoint.fields
        if field.kind == "text" and not field.members and not field.clock
    ]
    rows = []
    for number, day in enumerate([*reversed(DAYS), *DAYS, *DAYS]):
        row = wire_row(endpoint, **{endpoint.date_field: day.isoformat()})
        if endpoint.source == "short_ratio":
            row["S33"] = INDUSTRIES[number]
        for name in texts:
            row[name] = f'0{number}A,"{name}" 社\n\''
        for place, field in enumerate(endpoint.fields):
            if field.name in endpoint.never_null or field.inner or field.refused:
                continue
            marks = [None, *field.missing, 0.0, -0.5, 123456789.25, "7", 2**53]
            if field.kind != "number":
                marks = [None, *field.missing]
            if (number + place) % 3 == 0:
                row[field.name] = marks[(number + place) // 3 % len(marks)]
        if not plan_is_premium:
            row = {k: v for k, v in row.items() if k not in _optional(endpoint)}
        rows.append(row)
    return _one_per_day(rows) if endpoint.key == ("Date",) else rows


def _optional(endpoint: Endpoint) -> set[str]:
    return {field.name for field in endpoint.fields if not field.required}


def _one_per_day(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["Date"]: row for row in rows}.values())


def by_requests(server: FakeServer, endpoint: Endpoint, rows: list[dict[str, Any]]) -> pa.Table:
    def answer(request: Request) -> Reply:
        day = request.query.get(endpoint.date_param)
        of_day = [row for row in rows if day in (None, row[endpoint.date_field])]
        return Reply({"data": of_day})

    server.script = answer
    with session_to(server.url) as session:
        if endpoint.query == "range":
            return fetch_range(session, endpoint, FIRST, LAST)
        return collect_dates(session, endpoint, DAYS, 2)


def by_bulk(server: FakeServer, endpoint: Endpoint, content: bytes, folder: Path) -> pa.Table:
    key = f"{endpoint.path[1:]}/historical/2024/{endpoint.file_stem}_202401.csv.gz"
    BulkServer(server, {key: content})
    with session_to(server.url) as session:
        (file,) = list_files(session, endpoint, FIRST, LAST)
        path = folder / key
        download(session, file, path)
    return read_csv(path, endpoint)


@each_endpoint
@pytest.mark.parametrize("nested_as_json", [True, False])
@pytest.mark.parametrize("plan_is_premium", [True, False])
def test_the_three_routes_give_identical_tables(
    server: FakeServer,
    tmp_path: Path,
    endpoint: Endpoint,
    nested_as_json: bool,
    plan_is_premium: bool,
) -> None:
    """Schema, order and every value; nested fields in either form, optional ones or not."""
    rows = rows_of(endpoint, plan_is_premium=plan_is_premium)
    asked = by_requests(server, endpoint, rows)
    content = packed(as_csv(endpoint, rows, nested_as_json=nested_as_json))
    downloaded = by_bulk(server, endpoint, content, tmp_path)
    ((_, path),) = find_files(tmp_path, endpoint, FIRST, LAST).items()
    found = read_csv(path, endpoint)
    assert asked.num_rows == len(rows)
    assert asked.schema == endpoint.schema
    assert downloaded.equals(asked)
    assert found.equals(asked)
    for day, table in days_of(found, endpoint).items():
        assert set(table[endpoint.date_field].to_pylist()) == {day}
    assert sum(map(len, days_of(found, endpoint).values())) == len(rows)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_number_and_text_survive_both_ways(
    server: FakeServer, tmp_path: Path, cells: list[tuple[float | None, str | None]]
) -> None:
    """To the last bit and letter."""
    endpoint = endpoint_of("short_sale")
    rows = [
        wire_row(endpoint, DiscDate="2024-01-04", PrevRptRatio=number, Notes=text, SSName=f"{i}")
        for i, (number, text) in enumerate(cells)
    ]
    asked = by_requests(server, endpoint, rows)
    path = tmp_path / f"{endpoint.file_stem}_202401.csv.gz"
    path.write_bytes(packed(as_csv(endpoint, rows)))
    assert read_csv(path, endpoint).equals(asked)
