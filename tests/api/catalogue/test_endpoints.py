"""The table of sources against the vendor's published column lists."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint, endpoint_of
from pipeline.api.catalogue.fields import fields
from pipeline.api.catalogue.plans import PLANS, budgets, covers
from pipeline.api.catalogue.source_fields import DAILY_BARS, FUTURES, INDEX_OPTION
from pipeline.errors import UsageError
from pipeline.market.calendar.as_of import Publication

PUBLISHED: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "data" / "endpoint_fields.json").read_text(encoding="utf-8")
)
SOURCES = {
    "trading_calendar": "mkt-cal",
    "listed": "eq-master",
    "daily_bars": "eq-bars-daily",
    "topix": "idx-bars-daily-topix",
    "indices": "idx-bars-daily",
    "investor_types": "eq-investor-types",
    "fin_summary": "fin-summary",
    "dividend": "fin-dividend",
    "earnings_date": "fin-earnings-date",
    "margin_interest": "mkt-margin-int",
    "margin_alert": "mkt-margin-alert",
    "short_ratio": "mkt-short-ratio",
    "short_sale": "mkt-short-sale",
    "breakdown": "mkt-breakdown",
    "futures": "drv-bars-daily-fut",
    "index_option": "drv-bars-daily-opt-225",
    "valuation": "eq-valuation",
}

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: row.source)


def test_every_source_has_one_row() -> None:
    """Names as users and the catalogue know them, each once."""
    assert {endpoint.source: endpoint.id for endpoint in ENDPOINTS} == SOURCES
    assert len(ENDPOINTS) == len(SOURCES)


@each_endpoint
def test_paths_plans_and_keys_are_the_published_ones(endpoint: Endpoint) -> None:
    """What the vendor's pages say, literally."""
    published = PUBLISHED[endpoint.id]
    found = (endpoint.path, endpoint.plan, " ".join(endpoint.key))
    assert found == (published["path"], published["plan"], published["key"])


@each_endpoint
def test_fields_come_in_the_published_order(endpoint: Endpoint) -> None:
    """Names and order; a nested object stands for its parts."""
    outer = dict.fromkeys(field.outer for field in endpoint.fields)
    assert list(outer) == PUBLISHED[endpoint.id]["fields"].split()


@each_endpoint
def test_dates_and_numbers_get_their_types(endpoint: Endpoint) -> None:
    """Dates become date32, numbers float64, all else (codes, flags, names) text."""
    published = PUBLISHED[endpoint.id]
    dates, numbers = published["dates"].split(), published["numbers"].split()
    for field in endpoint.fields:
        if not field.kept:
            continue
        expected: pa.DataType = pa.string()
        if field.name in dates:
            expected = pa.date32()
        elif field.name in numbers:
            expected = pa.float64()
        assert endpoint.schema.field(field.name).type == expected, field.name


@each_endpoint
def test_publication_rules_start_from_date_columns(endpoint: Endpoint) -> None:
    """A rule, and the rule for its nulls, can be applied to every table of the source."""
    rule: Publication | None = endpoint.publication
    while rule is not None:
        assert endpoint.schema.field(rule.stamp).type == pa.date32()
        rule = rule.otherwise


@each_endpoint
def test_the_key_of_a_source_is_always_sent(endpoint: Endpoint) -> None:
    """No key column may be one that some plans or years leave out."""
    required = {field.name for field in endpoint.fields if field.required}
    assert {endpoint.date_field, *endpoint.key} <= required


def test_fields_that_some_plans_or_years_leave_out_are_optional() -> None:
    """Morning and afternoon need Premium; market value and right type came in August 2026."""
    optional = [field.name for field in DAILY_BARS if not field.required]
    assert len(optional) == 28
    assert {name[0] for name in optional[:-2]} == {"M", "A"}
    assert optional[-2:] == ["MktCap", "ExRT"]


def test_ten_derivatives_fields_are_due_from_july_2016() -> None:
    """Older rows may lack them in any form."""
    late = {
        field.name: field.since for field in (*FUTURES, *INDEX_OPTION) if field.since is not None
    }
    assert set(late) == set("VoOA LTD SQD Settle Theo BaseVol UnderPx IV IR CCMFlag".split(" "))
    assert set(late.values()) == {dt.date(2016, 7, 19)}


def test_days_and_ranges_become_queries() -> None:
    """Dates are written with dashes; an open end is not sent."""
    day = dt.date(2024, 1, 4)
    assert endpoint_of("index_option").day_query(day) == {"date": "2024-01-04"}
    assert endpoint_of("short_sale").day_query(day) == {"disc_date": "2024-01-04"}
    topix = endpoint_of("topix")
    assert topix.range_query(day, None) == {"from": "2024-01-04"}
    assert topix.range_query(None, None) == {}


def test_rows_are_promised_for_sessions_except_the_halted_day() -> None:
    """On 2020-10-01 nothing traded: bars exist without prices, trade counts do not exist."""
    halted = dt.date(2020, 10, 1)
    assert endpoint_of("daily_bars").promises_rows(halted)
    assert not endpoint_of("breakdown").promises_rows(halted)
    assert endpoint_of("breakdown").promises_rows(dt.date(2020, 10, 2))
    assert not endpoint_of("breakdown").promises_rows(dt.date(2015, 3, 31))
    assert not endpoint_of("margin_interest").promises_rows(halted)


def test_plans_are_ordered_and_limited() -> None:
    """A larger plan covers a smaller one; summaries have a limit of their own on each."""
    assert [budgets(plan)["plan"] for plan in PLANS] == [5, 60, 120, 500]
    assert {budgets(plan)["fins/summary"] for plan in PLANS} == {60}
    assert covers("premium", "free")
    assert covers("light", "light")
    assert not covers("light", "standard")
    assert endpoint_of("fin_summary").budgets == ("plan", "fins/summary")


def test_files_need_light_and_the_plan_of_their_endpoint() -> None:
    """The calendar's file is for all."""
    smallest = {
        source: next(plan for plan in PLANS if endpoint_of(source).has_files(plan))
        for source in ("trading_calendar", "daily_bars", "index_option", "futures")
    }
    assert list(smallest.values()) == ["free", "light", "standard", "premium"]
    assert endpoint_of("index_option").file_stem == "derivatives_bars_daily_options_225"


def test_an_unknown_source_is_refused() -> None:
    """The error lists the known ones."""
    with pytest.raises(UsageError, match=r"source 'bars': unknown; .*daily_bars"):
        endpoint_of("bars")


def test_a_key_must_be_among_the_fields() -> None:
    """A row of the table that contradicts itself does not load."""
    row: dict[str, Any] = {**vars(endpoint_of("topix")), "key": ("Date", "Code")}
    row = {name: value for name, value in row.items() if name in Endpoint.__dataclass_fields__}
    row["fields"] = fields("Date", "date")
    with pytest.raises(ValueError, match="'Code'"):
        Endpoint(**row)
