"""Rows on the wire and their pages."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulator.server.endpoint_table import Field
from pipeline.simulator.server.refusal import RefusalError
from pipeline.simulator.server.response_pages import (
    PageKeys,
    PageStore,
    cut_pages,
    page_body,
    render_rows,
)


def test_missing_values_are_written_as_the_field_says():
    """null by default, an empty text where the API does so; numbers stay floats."""
    columns = {
        "A": np.array([1.0, np.nan]),
        "B": np.array([np.nan, 2.0]),
        "C": np.array(["x", None]),
    }
    rows = render_rows(columns, [Field("C"), Field("B", missing=""), Field("A")])
    assert rows == [b'{"C":"x","B":"","A":1.0}', b'{"C":null,"B":2.0,"A":null}']


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 120))
def test_pages_partition_the_rows(sizes, page_bytes):
    """Every row is on exactly one page; a page is full only with its last row."""
    rows = [b"x" * size for size in sizes]
    pages = cut_pages(rows, page_bytes)
    assert [row for page in pages for row in rows[page]] == rows
    for page in pages[:-1]:
        sizes_with_comma = [len(row) + 1 for row in rows[page]]
        assert sum(sizes_with_comma) >= page_bytes
        assert sum(sizes_with_comma[:-1]) < page_bytes


def test_the_last_page_has_no_key():
    """Neither null nor empty: the official client of the command line would loop."""
    assert orjson.loads(page_body([b"{}"], None)) == {"data": [{}]}
    assert orjson.loads(page_body([], "k+/="))["pagination_key"] == "k+/="


def test_a_key_belongs_to_its_query_and_page():
    """Another query's key is refused; keys of two pages differ."""
    keys = PageKeys(seed=1)
    assert keys.read("q", keys.make("q", 2), pages=4) == 2
    assert keys.make("q", 1) != keys.make("q", 2)
    for foreign in (keys.make("p", 2), PageKeys(seed=2).make("q", 2), keys.make("q", 9), "x"):
        with pytest.raises(RefusalError):
            keys.read("q", foreign, pages=4)


def test_the_store_renders_once_and_forgets_the_oldest():
    """Capacity counts bytes."""
    store, made = PageStore(capacity=250), []

    def make(name):
        return lambda: made.append(name) or [name * 100]

    for name in (b"a", b"b", b"a", b"c", b"a", b"b"):
        assert store.get(name, make(name)).body(0, packed=False) == name * 100
    assert made == [b"a", b"b", b"c", b"b"]
