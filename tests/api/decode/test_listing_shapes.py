"""Lists of bulk files in every form that was seen of them."""

from __future__ import annotations

import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.decode.listing_shapes import shapes_of

BARS = endpoint_of("daily_bars")
FOLDER = "equities/bars/daily/historical/"
PAGE = {
    "data": [
        {"Key": FOLDER, "LastModified": "2026-09-04T00:10:00.000Z", "Size": 0},
        {
            "Key": "equities/bars/daily/premium/historical/2021/equities_bars_daily_202101.csv.gz",
            "LastModified": None,
            "Size": 3651234.0,
        },
        {
            "Key": "equities/bars/daily/live/equities_bars_daily_20260831.csv.gz",
            "LastModified": "Mon, 31 Aug 2026 18:00:00 GMT",
            "Size": "130123",
        },
        {"Key": "equities/bars/daily/live/Toyota_7203.csv.gz", "ETag": "x"},
    ],
    "pagination_key": "next",
}


def test_every_form_is_counted() -> None:
    """Words of the path stay, anything else is a shape."""
    shapes = shapes_of(BARS, PAGE)
    assert (shapes.entries, shapes.folders, shapes.pages) == (4, 1, True)
    assert shapes.sizes == {"integer": 1, "number": 1, "text": 1, "absent": 1}
    assert shapes.modified == {"iso": 1, "null": 1, "http": 1, "absent": 1}
    assert shapes.others == {"ETag": 1}
    assert shapes.keys == {
        FOLDER: 1,
        "equities/bars/daily/premium/historical/9{4}/equities_bars_daily_9{6}.csv.gz": 1,
        "equities/bars/daily/live/equities_bars_daily_9{8}.csv.gz": 1,
        "equities/bars/daily/live/A{1}a{5}_9{4}.csv.gz": 1,
    }


@pytest.mark.parametrize("data", [None, "files", {}, [1, None]])
def test_what_is_no_list_has_no_forms(data: object) -> None:
    shapes = shapes_of(BARS, {"data": data})
    assert (shapes.entries, shapes.keys, shapes.pages) == (0, {}, False)
