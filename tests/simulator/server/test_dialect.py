"""What each open point changes, over real HTTP; the market behind it stays the same."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
import requests

from pipeline.errors import UsageError
from pipeline.simulator.server.dialect import (
    CARELESS,
    EVIDENCE,
    PLAIN,
    Dialect,
    parse_dialect,
    points,
)
from tests.simulator.clients import Client, at, serve

BARS, MASTER, TOPIX = "/equities/bars/daily", "/equities/master", "/indices/bars/daily/topix"
ALERT, SUMMARY, OPTIONS = (
    "/markets/margin-alert",
    "/fins/summary",
    "/derivatives/bars/daily/options/225",
)
SHORT_SALE, SHORT_RATIO = "/markets/short-sale-report", "/markets/short-ratio"
DAY, SUNDAY = "2021-06-01", "2021-06-06"


@pytest.fixture(scope="module")
def plain(market):
    with serve(market, dialect=PLAIN) as base_url:
        yield Client(base_url)


@pytest.fixture
def speaking(market):
    """Starts a server in a dialect that differs from the plain one in some points."""
    running = []

    def start(plan="premium", now=None, **changes):
        server = serve(market, plan=plan, now=now, dialect=replace(PLAIN, **changes))
        client = Client(server.__enter__())
        running.append(server)
        return client

    yield start
    for server in running:
        server.__exit__(None, None, None)


def keys(client, **params):
    return [entry["Key"] for entry in client.rows("/bulk/list", **params)]


def text_of(client, key):
    answer = client.get("/bulk/get", key=key)
    assert answer.status_code == 200, answer.text
    return gzip.decompress(requests.get(answer.json()["url"], timeout=20).content)


def month_of(client, path, month="202106"):
    """The text of the newest-named file of a month."""
    return text_of(client, keys(client, endpoint=path, from_=month, to=month)[-1])


def records(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


# -- the words ---------------------------------------------------------------------------------


def test_words_change_one_point_after_another():
    """Presets first; the last word about a point counts."""
    assert parse_dialect([]) == EVIDENCE
    assert parse_dialect(["plain"]) == PLAIN
    assert parse_dialect(["plain, size=text", "size=float"]) == replace(PLAIN, size="float")
    assert parse_dialect(["size=int,careless"]) == CARELESS


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("odd", "'odd': expected evidence, plain, careless, or NAME=VALUE with a name of nested"),
        ("sizes=int", "'sizes': unknown; expected one of nested, lines"),
        ("size=big", "size: expected one of float, int, text, got 'big'"),
        ("size=", "size: expected one of float, int, text, got ''"),
    ],
)
def test_unknown_words_are_refused_with_those_there_are(word, said):
    """Name, choices and what came."""
    with pytest.raises(UsageError, match="simulator dialect") as refused:
        parse_dialect([word])
    assert said in str(refused.value)


def test_the_first_choice_of_every_point_is_the_default():
    """As the help says."""
    assert Dialect(**{name: choices[0] for name, choices in points().items()}) == EVIDENCE


def test_careless_is_odd_wherever_it_can_be():
    """Numeric codes have no padding to be careless with."""
    same = {name for name in points() if getattr(CARELESS, name) == getattr(PLAIN, name)}
    assert same == {"codes"}


# -- bulk files --------------------------------------------------------------------------------


def test_the_evidence_is_what_was_seen(market):
    """Keys, types of the list, line ends and the nested column, all at once."""
    with serve(market, now=at("2022-06-10T08:00")) as base_url:
        client = Client(base_url)
        assert keys(client, endpoint=BARS, from_="202205", to="202205") == [
            "equities/bars/daily/historical/2022/equities_bars_daily_202205.csv.gz",
            "equities/bars/daily/premium/historical/2022/equities_bars_daily_202205.csv.gz",
        ]
        assert keys(client, endpoint=BARS, from_="20220601", to="20220601") == [
            "equities/bars/daily/live/equities_bars_daily_20220601.csv.gz",
            "equities/bars/daily/premium/live/equities_bars_daily_20220601.csv.gz",
        ]
        (entry,) = client.rows("/bulk/list", endpoint=ALERT, from_="202205", to="202205")
        assert entry["Key"].startswith("markets/margin-alert/historical/2022/markets_margin-alert_")
        assert type(entry["Size"]) is float
        content = text_of(client, entry["Key"])
    assert content.count(b"\r\n") == content.count(b"\n") > 1
    assert b"\"{'Restricted': '" in content


def test_files_without_the_segment_lack_the_session_columns(speaking):
    """Where both are listed; alone, they hold everything the plan has."""
    both, single = speaking(premium="both"), speaking(premium="none")
    plain_key, premium_key = keys(both, endpoint=BARS, from_="202106", to="202106")
    assert keys(single, endpoint=BARS, from_="202106", to="202106") == [plain_key]
    assert text_of(both, premium_key) == text_of(single, plain_key)
    narrow, wide = (records(text_of(both, key)) for key in (plain_key, premium_key))
    assert set(wide[0]) - set(narrow[0]) == {
        part + name for part in "MA" for name in "O H L C UL LL Vo Va".split()
    }
    assert narrow == [{name: row[name] for name in narrow[0]} for row in wide]
    only = speaking(premium="only")
    assert keys(only, endpoint=BARS, from_="202106", to="202106") == [premium_key]
    light = speaking("light", premium="both")
    assert keys(light, endpoint=BARS, from_="202106", to="202106") == [plain_key]


def test_live_files_lie_in_folders_of_years_or_months(speaking):
    """And their key is good for a download."""
    now = at("2022-06-10T08:00")
    for live, folders in (("flat", ""), ("year", "2022/"), ("month", "2022/06/")):
        client = speaking(now=now, live=live)
        (key,) = keys(client, endpoint=TOPIX, from_="20220601", to="20220601")
        assert (
            key
            == f"indices/bars/daily/topix/live/{folders}indices_bars_daily_topix_20220601.csv.gz"
        )
        assert len(records(text_of(client, key))) == 1


def test_several_months_in_one_file_when_all_are_over(speaking, plain):
    """Quarters or years; the rest of the running one is by months."""
    for history, expected in (
        ("quarter", ["202007-202009", "202010-202012", "202101-202103", "202104", "202105"]),
        ("year", ["2020", "202101", "202102", "202103", "202104", "202105"]),
    ):
        client = speaking(now=at("2021-06-10T08:00"), history=history)
        found = [key for key in keys(client, endpoint=TOPIX) if "/historical/" in key]
        assert [key.rsplit("_", 1)[1].removesuffix(".csv.gz") for key in found] == expected
        rows = [row for key in found for row in records(text_of(client, key))]
        months = [row["Date"] for row in plain.rows(TOPIX, from_="20200701", to="20210531")]
        assert [row["Date"] for row in rows] == months


def test_rows_may_be_grouped_by_their_other_date(speaking, plain):
    """Every row is in some file, but not in that of the month requests find it in."""
    client = speaking(grouping="other")
    for path, own, other in (
        (ALERT, "PubDate", "AppDate"),
        (SHORT_SALE, "DiscDate", "CalcDate"),
    ):
        rows = records(month_of(client, path))
        assert {row[other][:7] for row in rows} == {"2021-06"}
        assert {row[own][:7] for row in rows} == {"2021-06", "2021-07"}
        around = [
            row
            for m in ("202105", "202106", "202107")
            for row in records(month_of(client, path, m))
        ]
        inside = [row for row in around if row[own][:7] == "2021-06"]
        expected = records(month_of(plain, path))
        assert sorted(map(str, inside)) == sorted(map(str, expected))


@pytest.mark.parametrize("nested", points()["nested"])
def test_nested_values_of_files(speaking, plain, nested):
    """The same flags in three spellings."""
    rows = records(month_of(speaking(nested=nested), ALERT))
    read = {
        "python": lambda row: ast.literal_eval(row["PubReason"]),
        "json": lambda row: json.loads(row["PubReason"]),
        "columns": lambda row: {k.split(".")[1]: v for k, v in row.items() if "." in k},
    }
    days = sorted({row["PubDate"] for row in rows})
    expected = [row["PubReason"] for day in days for row in plain.rows(ALERT, date=day)]
    assert [read[nested](row) for row in rows] == expected
    assert ("PubReason" in rows[0]) == (nested != "columns")


def test_a_byte_order_mark_and_line_ends(speaking, plain):
    """Nothing else changes."""
    content = month_of(speaking(bom="yes", lines="crlf"), MASTER)
    assert content == b"\xef\xbb\xbf" + month_of(plain, MASTER).replace(b"\n", b"\r\n")


def test_the_list_in_other_types(speaking, plain):
    """Sizes and moments mean the same."""
    asked = {"endpoint": TOPIX, "from_": "202106", "to": "202106"}
    (expected,) = plain.rows("/bulk/list", **asked)
    for size, kind in (("int", int), ("float", float), ("text", str)):
        (entry,) = speaking(size=size).rows("/bulk/list", **asked)
        assert type(entry["Size"]) is kind
        assert float(entry["Size"]) == expected["Size"]
    (entry,) = speaking(modified="http").rows("/bulk/list", **asked)
    moment = datetime.fromisoformat(expected["LastModified"]).replace(microsecond=0)
    assert parsedate_to_datetime(entry["LastModified"]) == moment
    (entry,) = speaking(modified="null").rows("/bulk/list", **asked)
    assert entry["LastModified"] is None
    (entry,) = speaking(modified="missing").rows("/bulk/list", **asked)
    assert list(entry) == ["Key", "Size"]


def test_folders_and_strangers_are_listed_besides(speaking, plain):
    """No file is missing; a stranger cannot be downloaded."""
    asked = {"endpoint": TOPIX, "from_": "202105", "to": "202106"}
    client = speaking(folders="yes", strangers="yes")
    folder = "indices/bars/daily/topix/historical/"
    added = [folder, folder + "README.txt", folder + "checksums.csv.gz"]
    assert keys(client, **asked) == added + keys(plain, **asked)
    assert client.message("/bulk/get", key=added[1])[0] == 400


def test_the_list_in_pages(speaking, plain):
    """All of them have the whole list; a key is good for its own query."""
    client = speaking(listing="pages")
    found, page = [], {}
    while True:
        body = client.get("/bulk/list", endpoint=TOPIX, **page).json()
        found += [entry["Key"] for entry in body["data"]]
        if "pagination_key" not in body:
            break
        page = {"pagination_key": body["pagination_key"]}
    assert found == keys(plain, endpoint=TOPIX)
    assert client.message("/bulk/list", endpoint=MASTER, **page)[0] == 400


# -- values ------------------------------------------------------------------------------------


def test_padding_is_lost(speaking, plain):
    """Of codes with a fixed width; everywhere, or in some rows, the same ones by every route."""
    expected = plain.rows(MASTER, date=DAY)
    stripped = speaking(padding="stripped").rows(MASTER, date=DAY)
    for name in ("S33", "Mkt", "ProdCat"):
        assert [
            row[name].zfill(len(old[name])) for row, old in zip(stripped, expected, strict=True)
        ] == [old[name] for old in expected]
        assert not any(row[name].startswith("0") for row in stripped)
    client = speaking(padding="mixed")
    mixed = client.rows(MASTER, date=DAY)
    assert {len(row["Mkt"]) for row in mixed} == {3, 4}
    in_file = [row for row in records(month_of(client, MASTER)) if row["Date"] == DAY]
    assert [row["Mkt"] for row in in_file] == [row["Mkt"] for row in mixed]


def test_scalars_of_other_types(speaking, plain):
    """Numbers and booleans for texts, texts for numbers."""
    old = plain.rows(BARS, date=DAY)
    for limits, kind in (("number", int), ("boolean", bool)):
        rows = speaking(limits=limits).rows(BARS, date=DAY)
        assert {type(row[name]) for row in rows for name in ("UL", "MLL")} == {kind}
        assert [int(row["UL"]) for row in rows] == [int(row["UL"]) for row in old]
    rows = speaking(numbers="text").rows(BARS, date=DAY)
    assert [row["C"] and float(row["C"]) for row in rows] == [row["C"] for row in old]
    assert {type(row["C"]) for row in rows if row["C"] is not None} == {str}
    rows = speaking(codes="number").rows(MASTER, date=DAY)
    assert {type(row["S33"]) for row in rows} == {int}
    assert [str(row["Code"]) for row in rows] == [
        row["Code"] for row in plain.rows(MASTER, date=DAY)
    ]
    codes = {row["Code"] for row in old}
    summary = next(r for code in sorted(codes) if (r := plain.rows(SUMMARY, code=code)))
    flags = [row["ChgByASRev"] for row in summary]
    spelled = {
        kind: [
            row["ChgByASRev"] for row in speaking(flags=kind).rows(SUMMARY, code=summary[0]["Code"])
        ]
        for kind in ("number", "boolean")
    }
    values = {"true": True, "false": False, "": ""}
    assert spelled["boolean"] == spelled["number"] == [values[flag] for flag in flags]
    assert {type(flag) for flag in spelled["number"]} <= {int, str}
    (alert, *_) = speaking(flags="boolean").rows(ALERT, date=DAY)
    assert {type(value) for value in alert["PubReason"].values()} == {bool}


@pytest.mark.parametrize(
    ("blanks", "marks"),
    [
        ("null", {None}),
        ("empty", {""}),
        ("dash", {"-"}),
        ("star", {"*"}),
        ("wide", {"－"}),
        ("mixed", {None, "", "-", "*", "－"}),
    ],
)
def test_missing_numbers_have_other_marks(speaking, plain, blanks, marks):
    """Exactly the missing ones, whether the specification writes null or blank."""
    client = speaking(blanks=blanks)
    for path, day, name in ((BARS, "2020-10-01", "C"), (OPTIONS, "2021-06-11", "EO")):
        rows, old = client.rows(path, date=day), plain.rows(path, date=day)
        missing = [new[name] for new, row in zip(rows, old, strict=True) if row[name] in (None, "")]
        assert set(missing) == marks
        told = [row[name] for row in old if row[name] not in (None, "")]
        assert [
            row[name] for row in rows if not (row[name] is None or isinstance(row[name], str))
        ] == told


def test_some_rows_come_twice(speaking, plain):
    """Side by side and identical, the same ones by every route; nothing is lost or added."""
    client = speaking(repeats="some")
    rows, old = client.rows(OPTIONS, date=DAY), plain.rows(OPTIONS, date=DAY)
    again = [row for row, following in zip(rows, rows[1:], strict=False) if row == following]
    assert 0.01 < len(again) / len(old) < 0.06
    assert [row for at, row in enumerate(rows) if at == 0 or rows[at - 1] != row] == old
    in_file = [row for row in records(month_of(client, OPTIONS)) if row["Date"] == DAY]
    assert [row["Code"] for row in in_file] == [row["Code"] for row in rows]
    assert month_of(client, SHORT_SALE) == month_of(plain, SHORT_SALE)


def test_times_of_disclosures(speaking, plain):
    """Without seconds, some of them so, or some without a time."""
    assert {len(row["DiscTime"]) for row in _summaries(plain)} == {8}
    lengths = {
        times: {len(row["DiscTime"]) for row in _summaries(speaking(times=times))}
        for times in ("minutes", "mixed", "missing")
    }
    assert lengths == {"minutes": {5}, "mixed": {5, 8}, "missing": {0, 8}}


def _summaries(client):
    return records(month_of(client, SUMMARY, "202105"))


# -- answers -----------------------------------------------------------------------------------


def test_a_bad_key_is_401_or_403(speaking):
    """By the official FAQ and by the status page."""
    for status in (401, 403):
        client = speaking(bad_key=str(status))
        answer = requests.get(client.base_url + TOPIX, headers={"x-api-key": "no"}, timeout=20)
        assert answer.status_code == status


def test_a_refusal_may_not_name_the_window(speaking):
    """The days are those of the plan either way."""
    asked = {"date": "2010-06-01"}
    status, message = speaking("light").message(BARS, **asked)
    assert (status, "covers the following dates: 2017-07-01 ~ ." in message) == (400, True)
    status, message = speaking("light", window="silent").message(BARS, **asked)
    assert (status, "~" in message) == (400, False)


def test_a_closed_day_may_be_refused(speaking):
    """Only where it has no rows; a session without rows, and a list in force, are answered."""
    client = speaking(closed="refused")
    assert client.message(BARS, date=SUNDAY) == (400, "The date is not a business day.")
    assert client.message(SHORT_SALE, disc_date=SUNDAY)[0] == 400
    assert client.rows(MASTER, date=SUNDAY)
    assert client.rows(SHORT_RATIO, date="2020-10-01") == []
    assert client.rows(TOPIX, from_=SUNDAY, to=SUNDAY) == []
    assert speaking().rows(BARS, date=SUNDAY) == []


def test_the_day_of_the_window_turns_in_tokyo_or_london(speaking):
    """At 08:00 in Tokyo it is still yesterday in London."""
    for day, last in (("jst", "2022-04-08"), ("utc", "2022-04-07")):
        client = speaking("free", now=at("2022-07-01T08:00"), day=day)
        assert client.rows("/markets/calendar")[-1]["Date"] == last


def test_earnings_dates_for_all_plans(speaking):
    """Or from Light on."""
    asked = {"date": "2022-03-01"}
    assert speaking("free").message("/fins/earnings-date", **asked)[0] == 403
    assert speaking("free", earnings="all").get("/fins/earnings-date", **asked).status_code == 200
