"""Arrays beyond a limit of memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.filesystem.scratch import array_store

SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (0, 4), (40, 30)])


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abcd"), SHAPES, st.booleans()), max_size=12),
    limit=st.sampled_from([0, 100, 5_000, 10**9]),
)
def test_it_is_a_dictionary_whatever_the_limit(tmp_path_factory, steps, limit):
    """Arrays set, replaced and deleted come back bit for bit, from memory or from the file."""
    folder = tmp_path_factory.mktemp("scratch")
    expected = {}
    with array_store(folder, limit) as store:
        for number, (name, shape, delete) in enumerate(steps):
            if delete:
                expected.pop(name, None)
                store.pop(name, None)
                continue
            array = np.random.default_rng(number).normal(size=shape)
            expected[name] = store[name] = array
        assert list(store) == list(expected) or set(store) == set(expected)
        assert len(store) == len(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(store[name], array)
    assert not list(folder.iterdir())


def test_what_fits_stays_in_memory(tmp_path):
    """The limit is in bytes; what goes over it goes to the file, and nothing else."""
    with array_store(tmp_path, 1_000) as store:
        for name in "abc":
            store[name] = np.full(50, ord(name), dtype=np.float64)  # 400 bytes each
        assert store.written == 400
        assert isinstance(store["c"], np.memmap)
        assert not isinstance(store["a"], np.memmap)
        del store["a"]
        store["d"] = np.zeros(50)
        assert store.written == 400


def test_an_array_of_the_file_cannot_be_changed(tmp_path):
    """Readers share it."""
    with array_store(tmp_path, 0) as store:
        store["a"] = np.zeros(3)
        with pytest.raises(ValueError, match="read-only"):
            store["a"][0] = 1.0
