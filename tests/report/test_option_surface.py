"""The option surface."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.report.option_surface import surface_of

DAY = dt.date(2024, 3, 1)
NEAR, FAR = dt.date(2024, 3, 8), dt.date(2024, 6, 14)
INDEX = 40_000.0


def quote(strike: float, side: str, iv: float | None, until: dt.date = NEAR) -> dict[str, object]:
    return {
        "Date": DAY, "Code": "1", "Strike": strike, "PCDiv": side, "SQD": until, "IV": iv,
        "IR": 0.1, "UnderPx": INDEX, "EmMrgnTrgDiv": "002", "OI": 1.0, "Vo": 1.0, "Va": 1.0,
    }  # fmt: skip


def table(*quotes: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(quotes), endpoint_of("index_option").schema)


def test_a_band_holds_the_median_of_its_out_of_the_money_quotes() -> None:
    """Puts below the index, calls above, by expiry; what is in the money or has no volatility
    does not count."""
    found = surface_of(
        table(
            *(quote(36_000, "1", iv) for iv in (30.0, 32.0, 40.0)),
            quote(36_000, "2", 99.0),
            quote(44_000, "2", 16.0),
            quote(44_000, "2", None),
            quote(60_000, "2", 80.0),
            quote(38_000, "1", 25.0, FAR),
        ),
        str(DAY),
    )
    assert found is not None
    assert found.days == (7, 105)
    at = dict(zip(found.moneyness, zip(*found.iv, strict=True), strict=True))
    assert at[0.9] == (pytest.approx(0.32), None)
    assert at[1.1] == (pytest.approx(0.16), None)
    assert at[0.95] == (None, pytest.approx(0.25))
    assert found.quotes == 5


def test_a_day_without_quotes_has_no_surface() -> None:
    """Neither has another day."""
    assert surface_of(table(), str(DAY)) is None
    assert surface_of(table(quote(36_000, "1", 30.0)), "2024-03-04") is None
