"""Daily margin disclosures as of each column."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.market.positioning.margin_disclosures import HISTORY, MarginAlerts, margin_alerts
from tests.market.hand import NAN
from tests.market.records import CODES, axis, day, source

N = 40


def row(
    published: int,
    applied: int,
    *,
    plus: int = 0,
    reg_class: str | None = "003",
    restricted: str | None = "0",
    warned: str | None = "0",
    change: float | None = 50.0,
    code: str = CODES[0],
) -> dict[str, object]:
    """A row whose long balance tells its AppDate and whose short one its PubDate, by column."""
    return {
        "PubDate": day(published, plus=plus),
        "Code": code,
        "AppDate": day(applied),
        "PubReason.RestrictedByJSF": restricted,
        "PubReason.PrecautionByJSF": warned,
        "LongOut": 100.0 * applied,
        "LongOutChg": change,
        "ShrtOut": 100.0 * published,
        "TSEMrgnRegCls": reg_class,
    }


def alerts(
    *rows: dict[str, object], n_out: int = N, factors: dict[int, float] | None = None
) -> MarginAlerts:
    return margin_alerts(source("margin_alert", *rows), axis(N, n_out, CODES[:2], factors))


def test_a_row_counts_on_two_columns():
    """The column of PubDate and the next one; the day it is about does not matter."""
    seen = alerts(row(5, 4))
    np.testing.assert_array_equal(seen.listed[0, HISTORY:][3:9], [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(seen.value(seen.reg_class)[0, 4:8], [NAN, 3, 3, NAN])
    assert (seen.listed[1] == 0.0).all()


def test_the_newest_day_is_in_force():
    """Published day by day: each row replaces the one before it at once."""
    seen = alerts(*(row(c, c - 1) for c in range(5, 10)))
    np.testing.assert_array_equal(
        seen.value(seen.long)[0, 4:12], [NAN, 400, 500, 600, 700, 800, 800, NAN]
    )


def test_a_correction_of_an_earlier_day_displaces_no_newer_day():
    """It comes with a later PubDate and an older AppDate; of one AppDate the later PubDate wins."""
    seen = alerts(row(5, 4), row(6, 5), row(6, 4), row(7, 5))
    np.testing.assert_array_equal(seen.value(seen.long)[0, 5:10], [400, 500, 500, 500, NAN])
    np.testing.assert_array_equal(seen.value(seen.short)[0, 5:10], [500, 600, 700, 700, NAN])

    seen = alerts(row(6, 5), row(7, 4))
    np.testing.assert_array_equal(seen.value(seen.long)[0, 6:10], [500, 500, 400, NAN])


def test_a_correction_after_the_last_row_is_in_force_again():
    """Days after the designation ended a late correction counts, for its own two columns."""
    seen = alerts(row(5, 4), row(9, 4))
    np.testing.assert_array_equal(seen.listed[0, HISTORY:][4:12], [0, 1, 1, 0, 0, 1, 1, 0])


def test_a_row_published_on_a_closed_day_counts_from_the_next_session():
    """Saturday after column 4: columns 5 and 6."""
    seen = alerts(row(4, 4, plus=1))
    np.testing.assert_array_equal(seen.listed[0, HISTORY:][3:8], [0, 0, 1, 1, 0])


def test_shares_are_restated_from_the_day_they_are_about():
    """A split on the day of publication changes them, one on the AppDate does not."""
    seen = alerts(row(5, 4), row(11, 10), factors={5: 0.5, 10: 0.1, 12: 0.25})
    np.testing.assert_array_equal(seen.shares(seen.long)[0, [5, 6, 11, 12]], [800, 800, 1e3, 4e3])
    np.testing.assert_array_equal(seen.shares(seen.long_change)[0, [5, 12]], [100, 200])


@pytest.mark.parametrize(
    ("restricted", "warned", "expected"),
    [
        ("0", "0", 0),
        ("1", "0", 1),
        ("0", "1", 1),
        ("1", "1", 1),
        (None, None, NAN),
        ("", "1", 1),
        ("0", "yes", NAN),
        ("yes", "1", 1),
    ],  # fmt: skip
)
def test_either_mark_of_the_finance_company_counts(restricted, warned, expected):
    """Restricted loans or a warning; not known where neither is told and one is not a flag."""
    seen = alerts(row(5, 4, restricted=restricted, warned=warned))
    np.testing.assert_equal(seen.value(seen.by_jsf)[0, 5], expected)


@pytest.mark.parametrize(
    ("text", "number"),
    [("001", 1), ("2", 2), ("102", 102), ("", NAN), (None, NAN), ("*", NAN), ("007", NAN)],
)
def test_the_class_is_a_number(text, number):
    """Text with leading zeros; null where none is told or nobody knows it."""
    seen = alerts(row(5, 4, reg_class=text))
    np.testing.assert_equal(seen.value(seen.reg_class)[0, 5], number)


def test_the_change_of_the_first_day_is_unknown():
    """``-`` arrives as null."""
    seen = alerts(row(5, 4, change=None))
    assert np.isnan(seen.shares(seen.long_change)[0, 5])


def test_columns_before_the_wanted_ones_are_replayed():
    """The history in front is the same replay, also before the panel's first column."""
    whole = alerts(*(row(c, c - 1) for c in range(1, N, 3)))
    part = alerts(*(row(c, c - 1) for c in range(1, N, 3)), n_out=5)
    assert part.listed.shape == (2, HISTORY + 5)
    np.testing.assert_array_equal(part.listed, whole.listed[:, -HISTORY - 5 :])
    np.testing.assert_array_equal(part.value(part.long), whole.value(whole.long)[:, -5:])


def test_no_rows():
    """An empty table designates nobody."""
    seen = alerts()
    assert (seen.listed == 0.0).all()
    assert np.isnan(seen.shares(seen.long)).all()
