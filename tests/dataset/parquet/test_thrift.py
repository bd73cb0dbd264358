"""Compact Thrift: what is read is written back to the byte, and nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.parquet import thrift as t
from pipeline.dataset.parquet import thrift_writer as out

INTEGERS = {t.I16: 16, t.I32: 32, t.I64: 64}


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


def plain() -> st.SearchStrategy[t.Field]:
    """A value without parts, with its type."""
    numbers = [st.tuples(st.just(kind), signed(bits)) for kind, bits in INTEGERS.items()]
    return st.one_of(
        *numbers,
        st.tuples(st.just(t.BYTE), st.integers(0, 255)),
        st.tuples(st.just(t.DOUBLE), st.binary(min_size=8, max_size=8)),
        st.tuples(st.just(t.UUID), st.binary(min_size=16, max_size=16)),
        st.tuples(st.just(t.BINARY), st.binary(max_size=200)),
    )


def lists(of: st.SearchStrategy[t.Field], longest: int) -> st.SearchStrategy[t.Field]:
    """Lists and sets of values of one type."""

    def alike(field: t.Field) -> st.SearchStrategy[t.Field]:
        items = st.integers(0, longest).map(lambda count: t.Items(field[0], [field[1]] * count))
        return st.tuples(st.sampled_from([t.LIST, t.SET]), items)

    return of.flatmap(alike)


def maps(of: st.SearchStrategy[t.Field]) -> st.SearchStrategy[t.Field]:
    def entry(fields: tuple[t.Field, t.Field]) -> t.Field:
        (key, name), (value, content) = fields
        return t.MAP, t.Pairs(key, value, [(name, content)])

    return st.tuples(plain(), of).map(entry) | st.just((t.MAP, t.Pairs(0, 0, [])))


def structs(of: st.SearchStrategy[t.Field]) -> st.SearchStrategy[t.Struct]:
    """Ids in any order and with any gaps; a bool only here."""
    bools = st.sampled_from([(t.TRUE, None), (t.FALSE, None)])
    return st.dictionaries(st.integers(-100, 200), of | bools, max_size=8)


TREES = structs(
    st.recursive(
        plain() | lists(plain(), longest=20),  # fifteen and more have a longer header
        lambda of: (
            lists(of, longest=2) | maps(of) | structs(of).map(lambda found: (t.STRUCT, found))
        ),
        max_leaves=12,
    )
)


@given(TREES)
def test_every_tree_comes_back(tree):
    """Every type, whatever its place."""
    data = out.encode(tree)
    assert t.decode(data) == tree
    assert out.encode(t.decode(data)) == data


@given(TREES, st.integers(1, 4))
def test_what_lies_deeper_passes_as_it_is(tree, levels):
    """Containers left encoded give the same bytes; all that is not nested is there to see."""
    data = out.encode(tree)
    shallow = t.Cursor(data).value(t.STRUCT, levels)
    assert out.encode(shallow) == data
    assert shallow.keys() == tree.keys()


@given(TREES, st.binary(max_size=3), st.data())
def test_damage_is_either_seen_or_another_tree(tree, inserted, data):
    """Cut, overwritten or stuffed: never another exception."""
    content = out.encode(tree)
    at = data.draw(st.integers(0, len(content)))
    damaged = content[:at] + inserted + content[at + data.draw(st.integers(0, 3)) :]
    try:
        tree = t.decode(damaged)
    except t.ThriftError:
        tree = None
    try:
        shallow = t.Cursor(damaged).value(t.STRUCT, 1)
    except t.ThriftError:
        shallow = None
    assert isinstance(tree, dict) == isinstance(shallow, dict)


@given(TREES, st.data())
def test_what_is_cut_off_is_refused(tree, data):
    """A struct has an end."""
    content = out.encode(tree)
    with pytest.raises(t.ThriftError):
        t.decode(content[: data.draw(st.integers(0, len(content) - 1))])


def test_the_bytes_are_those_of_the_specification():
    """Worked by hand: short and long field headers, zigzag, a list of fifteen."""
    tree = {
        1: (t.I32, -1),
        2: (t.TRUE, None),
        20: (t.I64, 150),
        21: (t.BINARY, b"ab"),
        22: (t.LIST, t.Items(t.BYTE, list(range(15)))),
        23: (t.MAP, t.Pairs(t.BINARY, t.I16, [(b"k", 3)])),
    }
    expected = bytes.fromhex(
        "1501 11 0628ac02 18026162 19f30f" + bytes(range(15)).hex() + "1b0184016b06 00"
    )
    assert out.encode(tree) == expected
    assert t.decode(expected) == tree


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("15" + "ff" * 11, "more than ten bytes"),
        ("1c" * 80, "deeper than 32 levels"),
        ("19" * 80, "deeper than 32 levels"),
        ("19fcffffffff0f", "cut off"),
        ("1e00", "type 14 is not known"),
        ("18ffffff0f41", "cut off"),
    ],
)
def test_nonsense_is_named(content, reason):
    """A damaged length or depth takes neither memory nor the stack."""
    with pytest.raises(t.ThriftError, match=reason):
        t.decode(bytes.fromhex(content))


def test_a_long_list_passes_element_by_element():
    """A cursor walks where a decoder would hold everything."""
    items = t.Items(t.STRUCT, [{1: (t.I64, i)} for i in range(40)])
    cursor = t.Cursor(out.encode({1: (t.I32, 7), 4: (t.LIST, items), 6: (t.BINARY, b"x")}))
    seen = []
    for field, kind in cursor.fields():
        if field == 4:
            inner, count = cursor.list_start(kind)
            seen += [cursor.value(inner) for _ in range(count)]
        else:
            seen.append(cursor.value(kind))
    assert seen == [7, *items.items, b"x"]
    with pytest.raises(t.ThriftError, match="expected a list"):
        cursor.list_start(t.I32)
    content = bytearray()
    out.put_field(content, 0, 1, t.I32, 7)
    out.put_list_start(content, 1, 4, t.STRUCT, 1)
    out.put_struct(content, {1: (t.I64, 5)})
    assert t.decode(bytes(content) + b"\0")[4] == (t.LIST, t.Items(t.STRUCT, [{1: (t.I64, 5)}]))


@given(
    st.lists(TREES.map(lambda tree: {**tree, 1: (t.I64, 5)}), max_size=3),
    TREES,
    st.integers(0, 1 << 40),
)
def test_one_number_of_every_element_is_shifted(items, around, by):
    """And nothing else, whatever stands around it."""
    listed = (t.LIST, t.Items(t.STRUCT, items))
    data = out.encode({**around, 300: listed})
    moved = [{**item, 1: (t.I64, 5 + by)} for item in items]
    assert t.decode(out.shift_in_list(data, 300, 1, by)) == {
        **around,
        300: (t.LIST, t.Items(t.STRUCT, moved)),
    }


@pytest.mark.parametrize("content", ["00", "150200", "192502 04 00", "19"])
def test_shifting_needs_a_list_of_structs(content):
    """None, a number, a list of numbers, and one that is cut off."""
    with pytest.raises(t.ThriftError):
        out.shift_in_list(bytes.fromhex(content), 1, 1, 7)
