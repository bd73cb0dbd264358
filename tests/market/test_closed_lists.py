"""Closed lists: members are known by name, padding is mended, the unknown is never a default."""

from __future__ import annotations

import datetime as dt
import math
import pickle

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import SnapshotError
from pipeline.market import closed_lists as lists
from pipeline.market.closed_lists import ClosedList, UnknownMember

DAY = dt.date(2024, 5, 10)


def column(*texts: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])


def table(field: str, *texts: str | None) -> pa.Table:
    n = len(texts)
    return pa.table(
        {
            "Code": [f"{1301 + i}0" for i in range(n)],
            "Date": pa.array([DAY] * n, pa.date32()),
            field: pa.array(texts, pa.string()),
        }
    )


@pytest.mark.parametrize("known", lists.LISTS, ids=lambda known: f"{known.source}.{known.field}")
def test_every_member_is_known_and_survives_its_padding(known: ClosedList) -> None:
    """A member is itself, also with the leading zeros that a spreadsheet takes away or adds."""
    for member, number in known.members.items():
        spellings = {member}
        if member.isdigit():
            spellings |= {member.lstrip("0") or "0"} if known.width else {f"0{member}"}
        for text in spellings:
            assert known.member(text) == member
            assert known.knows(text)
            np.testing.assert_equal(known.number(text), number)


@pytest.mark.parametrize("known", lists.LISTS, ids=lambda known: f"{known.source}.{known.field}")
@pytest.mark.parametrize("text", ["0115", "TOPIX Nano", "-9", "７", "4.0"])
def test_nothing_else_is_known(known: ClosedList, text: str) -> None:
    """Neither a number nor a default is made of it."""
    assert not known.knows(text)
    assert math.isnan(known.number(text))


@pytest.mark.parametrize(
    ("before", "after", "tier"),
    [(("0101",), "0111", 1), (("0102", "0106"), "0112", 2), (("0104", "0107"), "0113", 3)],
)
def test_old_and_new_market_segments_share_a_tier(before, after, tier):
    """The reorganisation of 2022-04-04 does not break the series."""
    assert {lists.MARKET.number(mkt) for mkt in (*before, after)} == {tier}


@pytest.mark.parametrize("mkt", ["0105", "0109", "105"])
def test_segments_outside_the_tiers_are_members_all_the_same(mkt):
    """PRO market, ETF and REIT segment: known, and none of the tiers."""
    assert lists.MARKET.knows(mkt)
    assert math.isnan(lists.MARKET.number(mkt))


def test_one_industry_is_one_number_however_it_is_padded():
    """``50`` and ``0050`` are fishery, 9999 and 99 are none."""
    assert lists.INDUSTRY.number("50") == lists.INDUSTRY.number("0050") == 50
    assert lists.INDUSTRY.normalised(column("50", "0050", "9050")).to_pylist() == [
        "0050", "0050", "9050",
    ]  # fmt: skip
    for known, text in ((lists.INDUSTRY, "9999"), (lists.SECTOR17, "99")):
        assert known.knows(text)
        assert math.isnan(known.number(text))
    assert len(lists.INDUSTRY.members) == 34
    assert [lists.SECTOR17.number(str(n)) for n in range(1, 18)] == list(range(1, 18))


def test_size_buckets_are_ordered_and_an_unknown_one_is_null():
    """``-`` is in none, which is 0; what is no bucket at all is not."""
    names = ["-", "TOPIX Small 2", "TOPIX Small 1", "TOPIX Mid400", "TOPIX Large70", "TOPIX Core30"]
    assert lists.SCALE.decode(column(*names)).tolist() == [0, 1, 2, 3, 4, 5]
    unknown = lists.SCALE.decode(column("TOPIX Nano", "", None, "TOPIX Small1"))
    assert np.isnan(unknown).all()


def test_a_refusal_names_source_field_value_code_and_day():
    """And how many rows there are; it is what a snapshot is refused with, and crosses processes."""
    with pytest.raises(UnknownMember) as caught:
        lists.MARKET.refuse_unknown(table("Mkt", "0111", "0115", "0116"))
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, SnapshotError)
    assert error.message.startswith("listed: Mkt '0115' of 13020 on 2024-05-10 and 1 more rows")
    assert (error.source, error.field, error.value, error.rows) == ("listed", "Mkt", "0115", 2)
    assert "\n" not in str(error)


def test_rows_that_are_not_needed_are_not_refused():
    """Where the place of a row does not hang on it."""
    lists.MARKET.refuse_unknown(table("Mkt", "0111", "0115"), np.array([True, False]))


def test_a_blank_is_refused_where_every_row_must_have_a_value():
    """Elsewhere it is simply missing."""
    with pytest.raises(UnknownMember, match="Mkt '' of 13010"):
        lists.MARKET.refuse_unknown(table("Mkt", None))
    assert lists.SCALE.unknown_line(table("ScaleCat", None, "")) is None


def test_unknown_attributes_are_named_once_per_field():
    """First record and number of rows; fields that are not read are not asked for."""
    rows = table("ScaleCat", "TOPIX Nano", "-", "TOPIX Nano").append_column(
        "Mrgn", pa.array(["1", "2", "3"])
    )
    (line,) = lists.unknown_lines("listed", rows)
    assert line == (
        "listed: ScaleCat 'TOPIX Nano' of 13010 on 2024-05-10 and 1 more rows: no known member of "
        "its list; counted as null"
    )
    assert list(lists.unknown_lines("daily_bars", rows)) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("FYFinancialStatements_Consolidated_JP", 1),
        ("1QFinancialStatements_NonConsolidated_Foreign", 5),
        ("OtherPeriodFinancialStatements_Consolidated_US", 3),
    ],
)
def test_the_number_of_a_statement_is_its_accounting_standard(text, number):
    """Of whatever period and scope."""
    assert lists.DOCUMENT.number(text) == number


@pytest.mark.parametrize(
    "text", ["FYFinancialStatements_Consolidated_XX", "CorrectedFinancialStatements", "Forecast"]
)
def test_a_document_of_another_kind_is_no_statement(text):
    """However much of a known name there is in it."""
    assert not lists.DOCUMENT.known(column(text))[0]
