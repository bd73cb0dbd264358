"""The official Python client works against the simulator unchanged.

It needs an older tenacity than this project, so it lives in an environment of its own, made once
in ``.venv-client`` of the repository. A failing installation is a failing test.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.simulator.server.endpoint_table import ENDPOINTS
from tests.simulator.clients import Client, at, serve

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-client"
REQUIREMENTS = ["jquants-api-client == 2.8.0", "tenacity < 9"]
SCRIPT = Path(__file__).with_name("official_client.py")

# All fields of the client's column lists exist from 2026-09-28 on.
NOW = "2026-10-01T08:00"
CODE = "a company that pays a dividend"
DAY, CLOSED = "2021-06-01", "2021-06-05"
SPAN = {"from_yyyymmdd": "20210601", "to_yyyymmdd": "20210630"}
RANGE = {"start_dt": "2021-05-28", "end_dt": "2021-06-11"}
ON_DAY = {"date_yyyymmdd": DAY}

# A call for every endpoint the simulator may have, with rows in the answer.
CALLS = {
    "/markets/calendar": ("get_mkt_calendar", SPAN),
    "/equities/master": ("get_eq_master", {"date": DAY}),
    "/equities/bars/daily": ("get_eq_bars_daily_range", RANGE),
    "/equities/investor-types": ("get_eq_investor_types", SPAN),
    "/equities/valuation": ("get_eq_valuation_range", RANGE),
    "/fins/summary": ("get_fin_summary_cursor", {"code": CODE}),
    "/fins/dividend": ("get_fin_dividend", {"code": CODE}),
    "/fins/earnings-date": ("get_fin_earnings_date", {"code": CODE}),
    "/markets/margin-interest": ("get_mkt_margin_interest_range", RANGE),
    "/markets/margin-alert": ("get_mkt_margin_alert_range", RANGE),
    "/markets/short-ratio": ("get_mkt_short_ratio_range", RANGE),
    "/markets/short-sale-report": ("get_mkt_short_sale_report_range", RANGE),
    "/markets/breakdown": ("get_mkt_breakdown_range", RANGE),
    "/indices/bars/daily": ("get_idx_bars_daily", ON_DAY),
    "/indices/bars/daily/topix": ("get_idx_bars_daily_topix", SPAN),
    "/derivatives/bars/daily/futures": ("get_drv_bars_daily_fut", ON_DAY),
    "/derivatives/bars/daily/options": ("get_drv_bars_daily_opt", ON_DAY),
    "/derivatives/bars/daily/options/225": ("get_drv_bars_daily_opt_225_range", RANGE),
}


@pytest.fixture(scope="session")
def python():
    """The interpreter of the client's environment, made by the first test that needs it."""
    made = VENV / "made.json"
    VENV.mkdir(exist_ok=True)
    with (VENV / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        wanted = json.dumps([*REQUIREMENTS, sys.version])
        if not made.exists() or made.read_text() != wanted:
            run = {"check": True, "timeout": 280, "stdout": subprocess.DEVNULL}
            subprocess.run([sys.executable, "-m", "venv", VENV], **run)
            pip = [VENV / "bin/python", "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--quiet", *REQUIREMENTS], **run)
            made.write_text(wanted)
    return VENV / "bin/python"


@pytest.fixture(scope="module")
def server(market):
    with serve(market, now=at(NOW), page_bytes=30_000) as base_url:
        yield Client(base_url)


@pytest.fixture
def call(python, server, tmp_path):
    """Calls methods of the official client, in order."""

    def call(*calls, key="simulator"):
        order = {
            "base_url": server.base_url,
            "calls": [{"method": method, "arguments": arguments} for method, arguments in calls],
        }
        environment = {
            "HOME": str(tmp_path),
            "JQUANTS_API_KEY": key,
            "NO_PROXY": "127.0.0.1",
            "PATH": os.environ["PATH"],
        }
        done = subprocess.run(
            [python, SCRIPT],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return call


def replayed(server, since):
    """Rows by path: those of the answers after the first ``since``, asked for once more."""
    rows = {}
    for entry in server.stats()["requests"][since:]:
        assert entry["status"] == 200, entry
        link = f"{server.base_url}{entry['path']}?{entry['query']}"
        answer = server.session.get(link, timeout=20)
        rows.setdefault(entry["path"], []).extend(answer.json()["data"])
    return rows


def payer(server):
    """The first company of the list that pays a dividend."""
    codes = (row["Code"] for row in server.rows("/equities/master", date=DAY))
    return next(code for code in codes if server.rows("/fins/dividend", code=code))


def test_there_is_a_call_for_every_endpoint():
    """An endpoint that is added needs a row in this module's table."""
    assert set(ENDPOINTS) <= set(CALLS)


def test_every_endpoint_is_read_through_its_public_method(server, call):
    """All rows of all pages, with the columns of the answers; closed days are no trouble."""
    calls = [CALLS[path] for path in ENDPOINTS]
    code = {"code": payer(server)}
    calls = [(method, given | code if "code" in given else given) for method, given in calls]
    before = server.stats()["total"]
    frames = call(*calls)
    expected = replayed(server, before)
    assert set(expected) == set(ENDPOINTS)
    for path, found in zip(ENDPOINTS, frames, strict=True):
        rows = expected[path]
        assert "error" not in found, (path, found)
        assert found["rows"] == len(rows) > 0, path
        assert set(found["columns"]) == {name for row in rows for name in row}, path
        assert found["dates"] or path == "/markets/margin-alert", path  # its dates stay text


def test_pages_were_followed(server, call):
    """The answer of one date has several pages here."""
    before = server.stats()["total"]
    (found,) = call(("get_drv_bars_daily_opt_225", ON_DAY))
    assert server.stats()["total"] - before > 3
    (rows,) = replayed(server, before).values()
    assert found["rows"] == len(rows)


def test_no_hit_is_an_empty_frame(call):
    """With the columns where the client promises them."""
    empty_bars, empty_list = call(
        ("get_eq_bars_daily", {"date_yyyymmdd": CLOSED}), ("get_eq_master", {"code": "9999"})
    )
    assert empty_bars == {"columns": [], "rows": 0, "dates": []}
    assert empty_list["rows"] == 0
    assert len(empty_list["columns"]) == 14


def test_lists_and_files_are_read_through_the_bulk_methods(server, call, tmp_path):
    """By key, and by endpoint and date; the file arrives as it is."""
    endpoint, month = "/equities/bars/daily", {"from_date": "202105", "to_date": "202106"}
    listed, of_date, url = call(
        ("get_bulk_list", {"endpoint": endpoint, **month}),
        ("get_bulk_list", {"date": "2021-06"}),
        ("get_bulk", {"endpoint": endpoint, "date": "202106"}),
    )
    # Each month without and with the segment of Premium.
    assert (listed["columns"], listed["rows"]) == (["Key", "Size", "LastModified"], 4)
    assert listed["dates"] == ["LastModified"]
    assert of_date["rows"] >= 5
    assert url["text"].startswith(server.root)
    entries = server.rows("/bulk/list", endpoint=endpoint, from_="202106", to="202106")
    paths = [tmp_path / "by_key.csv.gz", tmp_path / "by_date.csv.gz"]
    results = call(
        ("download_bulk", {"key": entries[0]["Key"], "output_path": str(paths[0])}),
        (
            "download_bulk_by_endpoint",
            {"endpoint": endpoint, "date": "202106", "output_path": str(paths[1])},
        ),
    )
    assert results == [{"text": None}] * 2
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1]
    assert len(contents[0]) == entries[0]["Size"]
    assert gzip.decompress(contents[0]).startswith(b"Date,Code,O,H,L,C,")


def test_refusals_arrive_with_the_servers_words(server, call):
    """The client puts the message into its own error."""
    (refused,) = call(("get_eq_master", {}), key="other")
    assert refused["error"].startswith("HTTPError: 403 for url")
    assert "The incoming api key is invalid or expired." in refused["error"]
    wrong = call(
        ("get_eq_bars_daily", {}),
        ("get_bulk_list", {"endpoint": "/nowhere"}),
    )
    assert (
        "body: This API requires at least 1 parameter as follows; 'date','code'."
        in (wrong[0]["error"])
    )
    assert "This endpoint is not available for csv download" in wrong[1]["error"]


def test_faults_are_met_as_the_client_meets_them(server, call):
    """On plain HTTP nothing is tried again: every fault is the caller's."""
    kinds = ["503", "reset", "truncated-body", "invalid-json"]
    server.set_faults(*[{"kind": kind, "count": 1} for kind in kinds])
    *failed, last = call(*[("get_idx_bars_daily_topix", {})] * (len(kinds) + 1))
    server.set_faults()
    errors = [result["error"].split(":")[0] for result in failed]
    assert errors == ["HTTPError", "ConnectionError", "ChunkedEncodingError", "JSONDecodeError"]
    assert last["rows"] > 0
