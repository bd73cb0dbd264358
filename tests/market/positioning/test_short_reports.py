"""Reported short positions as intervals of columns."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.market.positioning.short_reports import DEPTH, ShortReports, short_reports
from tests.market.records import CODES, axis, day, source

N = 40
FAR = 10**6


def report(
    disclosed: int,
    ratio: float | None,
    name: str = "A",
    *,
    calculated: int | None = None,
    client: str = "",
    fund: str = "",
    plus: int = 0,
    code: str = CODES[0],
) -> dict[str, object]:
    return {
        "DiscDate": day(disclosed, plus=plus),
        "CalcDate": day(disclosed - 1 if calculated is None else calculated),
        "Code": code,
        "SSName": name,
        "DICName": client,
        "FundName": fund,
        "ShrtPosToSO": ratio,
    }


def replayed(*rows: dict[str, object], n: int = N) -> ShortReports:
    return short_reports(source("short_sale", *rows), axis(n, n, CODES[:2]))


def intervals(*rows: dict[str, object], n: int = N, code: int = 0) -> list[tuple[int, int, float]]:
    """(start, stop, ratio) of one code; FAR for a position that lasts beyond the panel."""
    book = replayed(*rows, n=n)
    own = slice(book.offsets[code], book.offsets[code + 1])
    stops = np.where(book.stop >= n, FAR, book.stop)
    return list(zip(*(x[own].tolist() for x in (book.start, stops, book.ratio)), strict=True))


def test_a_report_opens_a_position_until_the_next_one_replaces_it():
    """The last state lasts beyond the panel."""
    assert intervals(report(3, 0.006), report(8, 0.011)) == [(3, 8, 0.006), (8, FAR, 0.011)]


def test_a_report_below_half_a_percent_closes_the_position():
    """Half a percent itself is open; a missing ratio is not."""
    assert intervals(report(3, 0.005), report(8, 0.0049)) == [(3, 8, 0.005)]
    assert intervals(report(3, 0.006), report(8, None)) == [(3, 8, 0.006)]


def test_reporters_are_told_apart_by_all_three_names():
    """Client and fund make a reporter of their own; each position runs by itself."""
    rows = (
        report(3, 0.006, "B"),
        report(4, 0.007, "A"),
        report(5, 0.008, "A", client="C"),
        report(6, 0.009, "A", fund="F"),
    )
    assert intervals(*rows) == [
        (4, FAR, 0.007),
        (6, FAR, 0.009),
        (5, FAR, 0.008),
        (3, FAR, 0.006),
    ]


def test_one_reporter_under_different_spellings():
    """Full-width letters, an ideographic space, blanks around the name."""
    assert intervals(
        report(3, 0.006, "Model Capital 1"),
        report(5, 0.007, "Model Capital 1 "),
        report(7, 0.008, "Ｍｏｄｅｌ　Ｃａｐｉｔａｌ　１"),
    ) == [(3, 5, 0.006), (5, 7, 0.007), (7, FAR, 0.008)]


def test_a_missing_name_is_an_empty_one():
    """The vendor leaves client and fund blank, which a file cannot tell from null."""
    blank = report(3, 0.006)
    null = {**report(5, 0.007), "DICName": None, "FundName": None}
    assert intervals(blank, null) == [(3, 5, 0.006), (5, FAR, 0.007)]


def test_reports_of_one_day_follow_the_day_of_the_position():
    """Of two reports disclosed together the one about the later day counts."""
    rows = report(5, 0.009, calculated=4), report(5, 0.006, calculated=3)
    for order in (rows, rows[::-1]):
        assert intervals(*order) == [(5, FAR, 0.009)]


def test_a_later_disclosure_counts_whatever_day_it_is_about():
    """A late report on an earlier day is the reporter's last word."""
    rows = report(4, 0.009, calculated=3), report(5, 0.006, calculated=2)
    for order in (rows, rows[::-1]):
        assert intervals(*order) == [(4, 5, 0.009), (5, FAR, 0.006)]


def test_reports_with_equal_dates_are_ordered_by_content():
    """As written first, then by ratio: the same result whatever the order of the table."""
    rows = report(5, 0.006), report(5, 0.009)
    spelled = report(5, 0.009, "A"), report(5, 0.006, "Ａ")
    for order in (slice(None), slice(None, None, -1)):
        assert intervals(*rows[order]) == [(5, FAR, 0.009)]
        assert intervals(*spelled[order]) == [(5, FAR, 0.006)]


def test_a_report_on_a_closed_day_counts_from_the_next_session():
    """Disclosed on Saturday: Monday, column 5."""
    assert intervals(report(4, 0.006, plus=1)) == [(5, FAR, 0.006)]


def test_a_position_lapses_after_its_depth():
    """DEPTH columns after its last report; a new report opens it again."""
    n = 2 * DEPTH
    assert intervals(report(3, 0.006), n=n) == [(3, 4 + DEPTH, 0.006)]
    assert intervals(report(3, 0.006), report(DEPTH + 9, 0.007), n=n) == [
        (3, 4 + DEPTH, 0.006),
        (DEPTH + 9, FAR, 0.007),
    ]


def test_every_code_has_its_own_positions():
    """The same reporter in two codes; codes off the axis count for nobody."""
    rows = (
        report(3, 0.006),
        report(5, 0.007, code=CODES[1]),
        report(4, 0.008, code="99990"),
    )
    assert intervals(*rows) == [(3, FAR, 0.006)]
    assert intervals(*rows, code=1) == [(5, FAR, 0.007)]


def test_columns_with_reports_are_kept_apart_from_positions():
    """Every report counts there, also one that closes a position."""
    book = replayed(report(8, 0.001), report(3, 0.006), report(5, 0.007, "B"))
    np.testing.assert_array_equal(book.reported, [3, 5, 8])
    np.testing.assert_array_equal(book.report_offsets, [0, 3, 3])


@pytest.mark.parametrize("rows", [(), (report(3, 0.006, code="99990"),)])
def test_no_rows(rows):
    """An empty book has no positions."""
    book = replayed(*rows)
    assert book.start.size == book.reported.size == 0
    np.testing.assert_array_equal(book.offsets, [0, 0, 0])
