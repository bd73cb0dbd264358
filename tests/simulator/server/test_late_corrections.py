"""Records that are wrong at first and corrected days later."""

from __future__ import annotations

import gzip
from datetime import timedelta

import pytest
import requests

from pipeline.errors import UsageError
from pipeline.simulator.server.late_corrections import BARS, DAYS, MARGIN, MASTER, Corrections
from tests.simulator.clients import Client, at, serve

RATE = 0.3
DAY = "2021-06-02"  # a Wednesday
NEXT_DAY, MUCH_LATER = "2021-06-03T08:00", "2021-08-20T08:00"


def seen(market, path, now, corrections=RATE, **params):
    """Rows by code, as a server says it at a moment."""
    with serve(market, now=at(now), corrections=corrections) as base_url:
        rows = Client(base_url).rows(path, **(params or {"date": DAY}))
    return {row["Code"]: row for row in rows}


def changed(early, late):
    """Names of the fields that differ, by code; prices are readjusted for other reasons."""
    assert early.keys() == late.keys()
    names = {
        code: {name for name in row if "Adj" not in name and row[name] != late[code][name]}
        for code, row in early.items()
    }
    return {code: fields for code, fields in names.items() if fields}


def test_a_close_is_the_open_until_it_is_corrected(market):
    """About as many as the rate says, and no other field; in the end the truth is told."""
    early, late = seen(market, BARS, NEXT_DAY), seen(market, BARS, MUCH_LATER)
    assert late == seen(market, BARS, MUCH_LATER, corrections=0.0)
    wrong = changed(early, late)
    assert 0.1 < len(wrong) / len(late) < 0.5
    assert all(fields == {"C"} for fields in wrong.values())
    assert all(
        (early[code]["C"], early[code]["AdjC"]) == (early[code]["O"], early[code]["AdjO"])
        for code in wrong
    )


def test_corrections_come_day_by_day(market):
    """What was corrected once stays so, and the last one comes after ``DAYS[-1]`` days."""
    late = seen(market, BARS, MUCH_LATER)
    start = at(f"{DAY}T16:30")
    moments = [start + timedelta(days=days) for days in (0, 1, DAYS[-2], DAYS[-1])]
    open_ = [
        changed(seen(market, BARS, f"{moment:%Y-%m-%dT%H:%M}"), late).keys() for moment in moments
    ]
    assert open_[0] > open_[1] > open_[2] > open_[3] == set()


@pytest.mark.parametrize(
    ("path", "fields"),
    [(MASTER, {"S17", "S17Nm", "S33", "S33Nm"}), (MARGIN, {"ShrtVol", "ShrtNegVol"})],
)
def test_listings_and_margin_balances_are_corrected_too(market, path, fields):
    """An industry is not known yet; the balances still add up."""
    day = {"date": "2021-06-04"}  # a Friday: margin balances are weekly
    early = seen(market, path, "2021-06-10T08:00", **day)
    late = seen(market, path, MUCH_LATER, **day)
    wrong = changed(early, late)
    assert wrong
    assert all(names <= fields for names in wrong.values())
    if path == MARGIN:
        assert all(
            row["ShrtVol"] == row["ShrtNegVol"] + row["ShrtStdVol"] for row in early.values()
        )


def test_a_bulk_file_says_what_the_requests_say(market):
    """The file of a day is wrong in the same records."""
    with serve(market, now=at(NEXT_DAY), corrections=RATE) as base_url:
        client = Client(base_url)
        url = client.get("/bulk/get", endpoint=BARS, date=DAY).json()["url"]
        lines = gzip.decompress(requests.get(url, timeout=20).content).decode().splitlines()
        rows = client.rows(BARS, date=DAY)
    names = lines[0].split(",")
    in_file = {
        code: close
        for code, close in (
            (dict(zip(names, line.split(","), strict=True))[name] for name in ("Code", "C"))
            for line in lines[1:]
        )
    }
    assert {code: float(close) for code, close in in_file.items() if close} == {
        row["Code"]: row["C"] for row in rows if row["C"] is not None
    }


def test_without_a_rate_nothing_is_wrong_and_a_wrong_rate_is_refused(market):
    """A share lies between 0 and 1."""
    early, late = (seen(market, BARS, now, corrections=0.0) for now in (NEXT_DAY, MUCH_LATER))
    assert not changed(early, late)
    with pytest.raises(UsageError, match="expected a share of 0 to 1, got 2"):
        Corrections(2)
