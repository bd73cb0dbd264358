"""Injected faults: which requests they strike, and what the client sees."""

from __future__ import annotations

import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic, sleep

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.simulator import AppOptions, Fault, LimitOptions, SimulatorServer, serving
from pipeline.simulator.delivery.body_distortions import ADDED_FIELD, DISTORTIONS
from pipeline.simulator.delivery.fault_injection import KINDS, Faults, faults_of_json, parse_fault
from pipeline.simulator.delivery.http_exchange import Page, Request, json_answer
from tests.simulator.clients import Client, serve

TOPIX, OPTIONS = "/indices/bars/daily/topix", "/derivatives/bars/daily/options/225"
BARS = "/equities/bars/daily"
DAY = {"date": "2021-06-01"}
ANSWER = json_answer({"data": [{"Date": "d", "C": 1.0}]})


@pytest.fixture(scope="module")
def client(market):
    with serve(market, page_bytes=30_000) as base_url:
        yield Client(base_url)


@pytest.fixture(autouse=True)
def healthy(client):
    """No fault is left for the next test."""
    yield
    client.set_faults()


def asked(path=TOPIX, query=""):
    return Request("GET", "/v2" + path, query)


def struck(faults, requests_):
    """Kind of the fault of each request."""
    kinds = []
    for request in requests_:
        number = faults.number(request)
        answer = faults.instead(request, number) or faults.distort(request, number, ANSWER)
        kinds.append(answer.fault)
    return kinds


# -- which requests ----------------------------------------------------------------------------


@given(st.permutations([asked(query=f"date={i % 7}") for i in range(21)]), st.integers(0, 5))
def test_a_fault_does_not_depend_on_the_order_of_arrival(order, seed):
    """Each path and query has its own sequence of strikes."""

    def by_query(requests_):
        kinds = struck(Faults([Fault("503", 0.5, seed=seed)]), requests_)
        found = {}
        for request, kind in zip(requests_, kinds, strict=True):
            found.setdefault(request.query, []).append(kind)
        return found

    assert by_query(order) == by_query(sorted(order, key=lambda request: request.query))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_rate_is_the_share_of_requests_struck(rate):
    """Of 2,000 requests, within four standard deviations; another seed strikes others."""
    requests_ = [asked(query=f"date={i}") for i in range(2000)]
    first, second = (struck(Faults([Fault("500", rate, seed=s)]), requests_) for s in (1, 2))
    for kinds in (first, second):
        assert abs(kinds.count("500") - 2000 * rate) <= 4 * (2000 * rate * (1 - rate)) ** 0.5
    assert (first == second) == (rate in (0, 1))


def test_a_count_ends_a_fault():
    """Only strikes that change something count."""
    faults = Faults([Fault("429", count=2), Fault("added-field", count=1)])
    assert struck(faults, [asked()] * 4) == ["429", "429", "added-field", None]
    assert [entry["struck"] for entry in faults.snapshot()] == [2, 1]
    without_pages = Faults([Fault("repeated-key", count=1)])
    assert struck(without_pages, [asked()] * 2) == [None, None]
    assert without_pages.snapshot()[0]["struck"] == 0


def test_a_path_narrows_a_fault():
    """A pattern, without /v2."""
    faults = Faults([Fault("500", path="/bulk/*"), Fault("503", path=TOPIX)])
    paths = ["/bulk/list", "/bulk/get", TOPIX, BARS, TOPIX + "/x"]
    assert struck(faults, [asked(path) for path in paths]) == ["500", "500", "503", None, None]


def test_of_several_faults_the_first_that_strikes_happens():
    """In the order given."""
    faults = Faults([Fault("500", 0.0), Fault("503", 1.0), Fault("502", 1.0)])
    assert struck(faults, [asked()]) == ["503"]


@pytest.mark.parametrize("text", ["503", "503:0.25", "truncated-gzip:1"])
def test_a_fault_is_written_as_kind_and_rate(text):
    """The rate is 1 when left out."""
    fault = parse_fault(text, seed=3)
    kind, _, rate = text.partition(":")
    assert (fault.kind, fault.rate, fault.seed) == (kind, float(rate or 1), 3)


@pytest.mark.parametrize("text", ["", "none", "503:x", "503:1.5", "503:-0.1", "503:nan"])
def test_what_is_no_fault_is_refused(text):
    """With the kinds or the form expected."""
    with pytest.raises(UsageError, match="fault"):
        parse_fault(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}x",
        b"3",
        b'["503"]',
        b'[{"rate": 1}]',
        b'[{"kind": "503", "other": 1}]',
        b'[{"kind": "503", "count": -1}]',
        b'[{"kind": "503", "rate": "often"}]',
    ],
)
def test_wrong_json_is_refused(text):
    """The faults in force stay."""
    with pytest.raises(UsageError, match="fault"):
        faults_of_json(text)


def test_faults_change_while_the_server_runs(client):
    """They are read and replaced at /_sim/faults; a wrong request changes nothing."""
    assert client.set_faults() == []
    in_force = client.set_faults({"kind": "503", "count": 1, "path": TOPIX, "seed": 5})
    assert in_force[0]["struck"] == 0
    assert client.statuses(TOPIX, 2) == [503, 200]
    link = client.root + "/_sim/faults"
    answer = requests.post(link, data='[{"kind": "none"}]', timeout=20)
    assert answer.status_code == 400
    assert "expected one of" in answer.json()["message"]
    assert requests.get(link, timeout=20).json() == [in_force[0] | {"struck": 1}]
    assert requests.get(client.root + "/_sim/other", timeout=20).status_code == 404


def test_faults_can_be_set_from_the_same_process(market):
    """At the start, and on the application."""
    server = SimulatorServer(market, AppOptions(faults=(Fault("503", count=1),)))
    try:
        assert server.app.faults.snapshot()[0]["kind"] == "503"
        server.app.faults.set([])
        assert server.app.faults.snapshot() == []
    finally:
        server.stop()
        server.run()


# -- what the client sees ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status(client, status):
    """The API's own errors have a message, a gateway's are a page of HTML."""
    client.set_faults({"kind": str(status), "count": 1})
    answer = client.get(TOPIX)
    assert answer.status_code == status
    assert answer.headers["X-Simulator"] == "g5"
    if status in (429, 500):
        assert list(answer.json()) == ["message"]
    else:
        assert answer.text.startswith("<html>")
    assert client.get(TOPIX).status_code == 200


def test_a_reset(client):
    """No byte comes, and the next connection is served."""
    client.set_faults({"kind": "reset", "count": 1})
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.get(TOPIX)
    assert client.get(TOPIX).status_code == 200


def test_a_hang_lasts_until_the_client_has_enough(client):
    """The client's own time-out; the server's thread is free at once."""
    client.set_faults({"kind": "hang", "count": 1})
    with pytest.raises(requests.ReadTimeout):
        client.session.get(client.base_url + TOPIX, timeout=0.2)
    assert client.get(TOPIX).status_code == 200


def test_hanging_clients_that_leave_do_not_fill_the_server(market):
    """Two threads serve ten clients that hang and go."""
    fault = Fault("hang", path=BARS)
    with serving(market, AppOptions(faults=(fault,)), threads=2) as base_url:
        client = Client(base_url)
        for _ in range(5):
            with pytest.raises(requests.ReadTimeout):
                requests.get(base_url + BARS, headers=client.session.headers, timeout=0.1)
        assert client.get(TOPIX).status_code == 200


def test_a_hang_may_end_by_itself(client):
    """With a reset."""
    client.set_faults({"kind": "hang", "seconds": 0.2, "count": 1})
    started = monotonic()
    with pytest.raises(requests.ConnectionError):
        client.get(TOPIX)
    assert monotonic() - started >= 0.2


def test_a_server_with_hanging_requests_stops_at_once(market):
    """Within the time its threads are given."""
    with ThreadPoolExecutor(1) as pool:
        with serve(market, faults=(Fault("hang"),)) as base_url:
            client = Client(base_url)
            waiting = pool.submit(client.get, TOPIX)
            deadline = monotonic() + 10
            while not client.stats()["total"] and monotonic() < deadline:
                sleep(0.02)
            started = monotonic()
        assert monotonic() - started < 2
        with pytest.raises(requests.ConnectionError):
            waiting.result(timeout=10)


def test_a_slow_drip(client):
    """The whole body, over the time asked for; a read time-out alone does not notice."""
    expected = client.get(TOPIX).content
    client.set_faults({"kind": "drip", "seconds": 0.5, "count": 1})
    started = monotonic()
    answer = client.session.get(client.base_url + TOPIX, timeout=0.3)
    assert monotonic() - started >= 0.4
    assert answer.content == expected


def test_a_truncated_body(client):
    """The connection closes before the promised length."""
    client.set_faults({"kind": "truncated-body", "count": 1})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        client.get(TOPIX)
    assert client.get(TOPIX).status_code == 200


def test_invalid_json(client):
    """A complete answer whose text is not."""
    client.set_faults({"kind": "invalid-json", "count": 1})
    answer = client.get(TOPIX)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


def test_a_wrong_type(client):
    """One value of one row: text for a number, an object for a text."""
    expected = client.rows(TOPIX)
    for field, wrong in (("C", "?"), ("Date", dict), (None, (str, dict))):
        client.set_faults({"kind": "wrong-type", "count": 1, "field": field})
        rows = client.rows(TOPIX)
        changed = [
            (name, row[name])
            for row, right in zip(rows, expected, strict=True)
            for name in right
            if row[name] != right[name]
        ]
        assert len(changed) == 1
        name, value = changed[0]
        assert value == wrong if isinstance(wrong, str) else isinstance(value, wrong)
        assert field in (None, name)


def test_a_vanished_field(client):
    """From every row of the page."""
    for field in ("C", None):
        client.set_faults({"kind": "vanished-field", "count": 1, "field": field})
        names = {tuple(row) for row in client.rows(TOPIX)}
        assert len(names) == 1
        left = names.pop()
        assert len(left) == 4
        assert field not in left


def test_an_added_field(client):
    """In every row, after the others."""
    client.set_faults({"kind": "added-field", "count": 1})
    names = {tuple(row) for row in client.rows(TOPIX)}
    assert names == {("Date", "O", "H", "L", "C", ADDED_FIELD)}


def test_a_row_duplicated_across_pages(client):
    """A page begins with the last row of the page before."""
    first = client.get(OPTIONS, **DAY).json()
    key = first["pagination_key"]
    expected = client.rows(OPTIONS, **DAY, pagination_key=key)
    client.set_faults({"kind": "duplicate-row", "count": 1})
    assert client.get(OPTIONS, **DAY).json() == first
    assert client.rows(OPTIONS, **DAY, pagination_key=key) == [first["data"][-1], *expected]
    assert client.rows(OPTIONS, **DAY, pagination_key=key) == expected


def test_a_repeated_page_key(client):
    """A page names itself as the next one."""
    key = client.get(OPTIONS, **DAY).json()["pagination_key"]
    client.set_faults({"kind": "repeated-key", "count": 1})
    body = client.get(OPTIONS, **DAY, pagination_key=key).json()
    assert body["pagination_key"] == key
    assert client.get(OPTIONS, **DAY, pagination_key=key).json()["pagination_key"] != key


def link_of(client):
    return client.get("/bulk/get", endpoint=TOPIX, date="202103").json()["url"]


def test_an_expired_url(client):
    """A new one is good."""
    client.set_faults({"kind": "expired-url", "count": 1})
    link = link_of(client)
    assert [requests.get(link, timeout=20).status_code for _ in range(2)] == [403, 403]
    assert requests.get(link_of(client), timeout=20).status_code == 200


def test_a_truncated_gzip_file(client):
    """A complete answer with half a file; only the size in the list, or unpacking, tells."""
    size = client.rows("/bulk/list", endpoint=TOPIX, from_="202103", to="202103")[0]["Size"]
    client.set_faults({"kind": "truncated-gzip", "count": 1, "path": "/_files/*"})
    content = requests.get(link_of(client), timeout=20).content
    assert len(content) < size
    with pytest.raises(EOFError):
        gzip.decompress(content)
    assert len(requests.get(link_of(client), timeout=20).content) == size


def test_a_truncated_gzip_answer(client):
    """Of the API, when the client takes packed answers."""
    client.set_faults({"kind": "truncated-gzip", "count": 1})
    answer = client.session.get(client.base_url + TOPIX, timeout=20, stream=True)
    unpacker = zlib.decompressobj(31)
    unpacker.decompress(answer.raw.read(decode_content=False))
    assert not unpacker.eof


def test_other_faults_strike_downloads_too(client):
    """A broken connection in the middle of a file."""
    client.set_faults({"kind": "truncated-body", "count": 1, "path": "/_files/*"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(link_of(client), timeout=20)
    client.set_faults({"kind": "503", "count": 1, "path": "/_files/*"})
    link = link_of(client)
    # A gateway's fault leaves the URL as it was.
    assert [requests.get(link, timeout=20).status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_packed_and_plain_bodies_are_distorted_alike(kind):
    """And an answer that a distortion has no hold on is left alone."""
    plain = replace(
        json_answer({"data": [{"Date": "d", "C": 1.0}], "pagination_key": "b"}),
        page=Page("a", json_answer({"data": [{"Date": "c", "C": 0.0}]}).body),
    )
    packed = replace(plain, body=gzip.compress(plain.body, mtime=0), packed=True)
    faults = Faults([Fault(kind)])
    left, right = (faults.distort(asked(), 0, answer) for answer in (plain, packed))
    if kind == "truncated-gzip":
        assert left == plain
        assert len(right.body) < len(packed.body)
    else:
        assert left.body != plain.body
        assert gzip.decompress(right.body) == left.body
        assert (left.fault, right.fault) == (kind, kind)
        url = json_answer({"url": "u"})
        assert kind == "invalid-json" or faults.distort(asked(), 0, url) == url


def test_statistics_name_the_faults(market):
    """0 stands for no answer at all."""
    with serve(market, faults=(Fault("503", count=1), Fault("reset", count=1))) as base_url:
        client = Client(base_url)
        client.get(TOPIX)
        with pytest.raises(requests.ConnectionError):
            client.get(TOPIX)
        client.get(TOPIX)
        stats = client.stats()
    assert stats["faults"] == {"503": 1, "reset": 1}
    assert stats["statuses"] == {"503": 1, "0": 1, "200": 1}
    assert [entry.get("fault") for entry in stats["requests"]] == ["503", "reset", None]


def test_faults_use_up_the_rate_limit(market):
    """The account has made the request, whatever came of it."""
    limits = LimitOptions(per_minute=2)
    with serve(market, limits=limits, faults=(Fault("503", count=1),)) as base_url:
        assert Client(base_url).statuses(TOPIX, 3) == [503, 200, 429]


def test_a_fault_does_not_tell_a_stranger_anything(client):
    """Without the key the answer is 403, and nothing is struck."""
    client.set_faults({"kind": "503"})
    assert requests.get(client.base_url + TOPIX, timeout=20).status_code == 403
    assert requests.get(client.root + "/_sim/faults", timeout=20).json()[0]["struck"] == 0


def test_every_kind_of_the_specification_is_there():
    """Seventeen of them, five of which are statuses."""
    assert set(KINDS) == {
        *("429", "500", "502", "503", "504", "reset", "hang", "drip", "truncated-body"),
        *("invalid-json", "wrong-type", "vanished-field", "added-field", "duplicate-row"),
        *("repeated-key", "expired-url", "truncated-gzip"),
    }
