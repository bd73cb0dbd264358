"""Bulk files as tables: what is accepted, and errors that name file and field."""

from __future__ import annotations

import datetime as dt
import gzip
import logging
from pathlib import Path

import pytest

from pipeline.api.catalogue.endpoints import Endpoint, endpoint_of
from pipeline.api.decode.csv_reader import read_csv
from pipeline.api.decode.page_decoder import Decoder
from pipeline.errors import BadResponse, SnapshotError
from pipeline.quarantine import VALUE, Entry, notes_of
from tests.api.bulk_server import as_csv, packed, wire_row

TOPIX = endpoint_of("topix")
BARS = endpoint_of("daily_bars")
DIVIDEND = endpoint_of("dividend")
OPTIONS = endpoint_of("index_option")


def written(folder: Path, content: bytes, name: str = "file_202401.csv.gz") -> Path:
    path = folder / name
    path.write_bytes(packed(content) if name.endswith(".gz") else content)
    return path


def read(folder: Path, endpoint: Endpoint, content: bytes) -> list[dict]:
    return read_csv(written(folder, content), endpoint).to_pylist()


def test_rows_are_sorted_and_text_stays_text(tmp_path: Path) -> None:
    """Leading zeros and letters survive; the header may stand in any order."""
    content = b"Code,Date,O,H,L,C\n812C,2024-01-05,,,,2\n0000,2024-01-05,1,1,1,1\n"
    rows = read(tmp_path, endpoint_of("indices"), content)
    assert [(row["Code"], row["O"], row["C"]) for row in rows] == [
        ("0000", 1.0, 1.0),
        ("812C", None, 2.0),
    ]


def test_files_may_be_unpacked_and_begin_with_a_mark(tmp_path: Path) -> None:
    """``.csv``, a byte order mark, quotes and other line ends change nothing."""
    content = '\ufeffDate,O,H,L,"C"\r\n2024-01-04,1,2,3,4\r\n'.encode()
    path = written(tmp_path, content, "topix_202401.csv")
    assert read_csv(path, TOPIX).to_pylist() == [
        {"Date": dt.date(2024, 1, 4), "O": 1.0, "H": 2.0, "L": 3.0, "C": 4.0}
    ]


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    """With the full schema."""
    table = read_csv(written(tmp_path, b"Date,O,H,L,C\n"), TOPIX)
    assert (table.num_rows, table.schema) == (0, TOPIX.schema)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    """As some packers write."""
    path = tmp_path / "x.csv.gz"
    path.write_bytes(packed(b"Date,O,H,L,C\n2024-01-04,1,2,3,4\n") + packed(b"2024-01-05,1,2,3,4"))
    assert read_csv(path, TOPIX).num_rows == 2


def test_restated_prices_are_not_missed_and_not_taken(tmp_path: Path) -> None:
    """Files lack them; one that had them would give the same table."""
    rows = [wire_row(BARS)]
    names = ",".join(rows[0])
    values = ",".join(str(value) for value in rows[0].values())
    plain = read_csv(written(tmp_path, as_csv(BARS, rows)), BARS)
    assert read_csv(written(tmp_path, f"{names}\n{values}\n".encode()), BARS).equals(plain)
    assert "AdjC" not in plain.schema.names


def test_an_unknown_column_is_reported_once_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One decoder for all files of an endpoint."""
    path = written(tmp_path, b"Date,New,O,H,L,C\n2024-01-04,x,1,2,3,4\n")
    decoder = Decoder(TOPIX)
    with caplog.at_level(logging.WARNING):
        tables = [read_csv(path, TOPIX, decoder) for _ in range(3)]
    assert {table.schema for table in tables} == {TOPIX.schema}
    assert [record.getMessage() for record in caplog.records] == [
        "/indices/bars/daily/topix: unknown field 'New' left out"
    ]


def test_a_vanished_column_is_named(tmp_path: Path) -> None:
    """With the file, so that one knows which of hundreds."""
    path = written(tmp_path, b"Date,O,H\n2024-01-04,1,2\n")
    with pytest.raises(BadResponse, match="field L, C: expected a column, got none") as caught:
        read_csv(path, TOPIX)
    assert caught.value.params == {"file": "file_202401.csv.gz"}


@pytest.mark.parametrize("day", ["2016-07-15", "2016-07-19"])
def test_columns_that_came_later_are_missed_from_then_on(tmp_path: Path, day: str) -> None:
    """Settlement prices since 2016-07-19."""
    row = wire_row(OPTIONS, Date=day)
    del row["Settle"]
    if day == "2016-07-15":
        assert read(tmp_path, OPTIONS, as_csv(OPTIONS, [row]))[0]["Settle"] is None
    else:
        with pytest.raises(BadResponse, match="field Settle: expected a column"):
            read(tmp_path, OPTIONS, as_csv(OPTIONS, [row]))


@pytest.mark.parametrize("wrong", ["x", "1,000", "nan", "inf", "1_000"])
def test_a_value_that_is_no_number_is_null_and_named(tmp_path: Path, wrong: str) -> None:
    """Nothing unexpected turns into a number, or into a null in silence."""
    content = f'Date,O,H,L,C\n2024-01-04,1,2,3,4\n2024-01-05,1,"{wrong}",3,4\n'.encode()
    table = read_csv(written(tmp_path, content), TOPIX)
    assert table["H"].to_pylist() == [2.0, None]
    assert notes_of(table) == (
        Entry(VALUE, "H", wrong, 1, "2024-01-05", "2024-01-05", "Date 2024-01-05"),
    )


def test_a_file_with_too_much_of_that_is_refused(tmp_path: Path) -> None:
    """So that the same days can be asked for another way."""
    rows = "".join(f"2024-01-{day:02},1,{'x' if day < 6 else 2},3,4\n" for day in range(1, 31))
    told = "topix, field H: 5 of 30 values of 2024-01 .* cannot be read, such as 'x' at Date"
    with pytest.raises(SnapshotError, match=told):
        read(tmp_path, TOPIX, f"Date,O,H,L,C\n{rows}".encode())


@pytest.mark.parametrize("wrong", ["2024-02-30", "20240105", "5 Jan"])
def test_a_date_is_a_date(tmp_path: Path, wrong: str) -> None:
    """In the one form the vendor uses."""
    with pytest.raises(BadResponse, match="field Date: expected a date YYYY-MM-DD .*row 0"):
        read(tmp_path, TOPIX, f"Date,O,H,L,C\n{wrong},1,2,3,4\n".encode())


def test_a_key_is_never_blank(tmp_path: Path) -> None:
    """A row that cannot be placed is refused."""
    with pytest.raises(BadResponse, match="field Date: expected a date .* got null in row 0"):
        read(tmp_path, TOPIX, b"Date,O,H,L,C\n,1,2,3,4\n")


def test_marks_of_missing_are_null_everywhere(tmp_path: Path) -> None:
    """In any number, whatever mark."""
    marks = ["-", "*", "－", "＊", "−", "", 5.0]
    rows = [wire_row(DIVIDEND, RefNo=str(n), DivRate=rate) for n, rate in enumerate(marks)]
    table = read_csv(written(tmp_path, as_csv(DIVIDEND, rows)), DIVIDEND)
    assert table["DivRate"].to_pylist() == [None] * 6 + [5.0]
    assert notes_of(table) == ()


def test_two_rows_with_one_key_count_once_or_are_refused(tmp_path: Path) -> None:
    """As in answers to requests."""
    assert (
        len(read(tmp_path, TOPIX, b"Date,O,H,L,C\n2024-01-04,1,2,3,4\n2024-01-04,1,2,3,4\n")) == 1
    )
    with pytest.raises(SnapshotError, match="Date 2024-01-04 differ in field C: '4.0' and '5.0'"):
        read(tmp_path, TOPIX, b"Date,O,H,L,C\n2024-01-04,1,2,3,4\n2024-01-04,1,2,3,5\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_files_of_the_web_site_are_read_too(tmp_path: Path, encoding: str) -> None:
    """CP932 with CRLF, full-width marks, leading zeros."""
    lines = "Code,Date,O,H,L,C,Name", "0028,2024-01-04,－,1,1,1,東証", "002A,2024-01-04,1,1,1,*,①"
    content = "".join(f"{line}\r\n" for line in lines).encode(encoding)
    assert [
        (row["Code"], row["O"], row["C"]) for row in read(tmp_path, endpoint_of("indices"), content)
    ] == [("0028", None, 1.0), ("002A", 1.0, None)]


def test_names_in_cp932_are_the_same(tmp_path: Path) -> None:
    """As in UTF-8."""
    listed = endpoint_of("listed")
    content = as_csv(listed, [wire_row(listed, CoName="水産－社髙")])
    plain = read_csv(written(tmp_path, content), listed)
    assert read_csv(written(tmp_path, content.decode().encode("cp932")), listed).equals(plain)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"Date,O,O,H,L,C\n", b"Date,O,H,L,C\n2024-01-04,1,2\n"],
    ids=["empty", "blank", "a column twice", "a short row"],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    """The path is named."""
    with pytest.raises(BadResponse, match="file_202401.csv.gz"):
        read(tmp_path, TOPIX, content)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, kept: float) -> None:
    """It is never read as a shorter one."""
    rows = "".join(f"2024-01-{day:02},{day / 7},2,3,4\n" for day in range(1, 32))
    content = gzip.compress(f"Date,O,H,L,C\n{rows}".encode())
    path = tmp_path / "x.csv.gz"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadResponse, match="expected CSV in a whole gzip file, got"):
        read_csv(path, TOPIX)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    """It may have been removed between looking and reading."""
    with pytest.raises(BadResponse, match="absent.csv.gz"):
        read_csv(tmp_path / "absent.csv.gz", TOPIX)


def test_line_breaks_within_texts_may_lie_anywhere(tmp_path: Path) -> None:
    """Also where the file is cut into blocks."""
    endpoint = endpoint_of("short_sale")
    rows = [
        wire_row(endpoint, Code=f"{number:05}", SSName="a\n" * 60, Notes="b,\n" * 60)
        for number in range(3000)
    ]
    found = read(tmp_path, endpoint, as_csv(endpoint, rows))
    assert [row["Code"] for row in found] == [row["Code"] for row in rows]
    assert {row["SSName"] for row in found} == {"a\n" * 60}
    assert {row["Notes"] for row in found} == {"b,\n" * 60}
    assert {row["ShrtPosShares"] for row in found} == {12.5}


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Neither UTF-8 nor CP932: an error of the API layer, after which another way is tried."""
    content = b"Code,Date,O,H,L,C\n00\x81\x20,2024-01-04,1,1,1,1\n"
    with pytest.raises(BadResponse, match="expected CSV in a whole gzip file, got"):
        read(tmp_path, endpoint_of("indices"), content)
