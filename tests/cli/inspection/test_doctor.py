"""``g5 doctor`` on simulators of every plan, and on servers that misbehave in every way."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from luigi.configuration import get_config

from pipeline import cli
from pipeline.api.bulk import LIST_PATH
from pipeline.api.catalogue.endpoints import ENDPOINTS, endpoint_of
from pipeline.api.catalogue.plans import PLANS, Plan, covers
from pipeline.api.http.clock import SystemClock
from pipeline.api.http.watched import Answer
from pipeline.errors import UsageError
from pipeline.operations.doctor import build_forecast
from pipeline.operations.doctor import questions as doctor
from pipeline.operations.doctor.diagnosis import Check
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from tests.api.fakes import KEY, FakeServer, Reply, Request, running_server
from tests.tasks.commands import NOBODY

SCHEMA = Path(__file__).parents[3] / "schema/doctor.schema.json"
FIRST, LAST = dt.date(2024, 1, 4), dt.date(2024, 6, 28)
MARK = {"X-Simulator": "g5"}
FORBIDDEN = Reply({"message": "Forbidden"}, 403, MARK)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(MarketSpec(seed=7, stocks=30, start=FIRST, end=LAST))


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with running_server() as server:
        yield server


@pytest.fixture(autouse=True)
def own_configuration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flags go into Luigi's configuration, of which a process has one."""
    monkeypatch.setenv("JQUANTS_API_KEY", KEY)
    monkeypatch.setenv("G5_NOW", "2024-06-29T09:00")
    config = get_config()
    before = dict(config.items("g5", raw=True)) if config.has_section("g5") else {}
    yield
    for name in config.options("g5") if config.has_section("g5") else ():
        config.remove_option("g5", name)
    for name, value in before.items():
        config.set("g5", name, value)


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only answers matter: estimates of what a build takes have tests of their own."""
    monkeypatch.setattr(doctor, "prospects", lambda *_: iter(()))


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any], dict[str, Any]]]:
    """Exit code, document of ``--json`` and document of ``--record``, both held to the schema."""

    def asked(url: str, *flags: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        record = tmp_path / "record.json"
        words = ["doctor", "--output", str(tmp_path / "output"), "--json", "--record", str(record)]
        code = cli.main([*words, *flags])
        text = record.read_text("utf-8")
        shown, kept = json.loads(capsys.readouterr().out), json.loads(text)
        schema = json.loads(SCHEMA.read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        for document, redacted in ((shown, False), (kept, True)):
            jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
            assert document["redacted"] == redacted
        assert KEY not in text
        assert not (tmp_path / "output").exists()
        return code, shown, kept

    return asked


Ask = Callable[..., tuple[int, dict[str, Any], dict[str, Any]]]


def checks(document: dict[str, Any], about: str) -> list[tuple[str, str]]:
    return [(c["level"], c["kind"]) for c in document["checks"] if c["about"] == about]


def texts_of(value: object) -> Iterator[str]:
    """Every text in a document, keys of objects among them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)
    elif isinstance(value, str):
        yield value


def leaves_of(value: object) -> Iterator[object]:
    """Every value in a row, without names."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves_of(inner)
    else:
        yield value


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_of_the_simulator_is_well(market: Market, plan: Plan, ask: Ask) -> None:
    """All of its sources but Free's, whose limit lets through five requests a minute."""
    with serving(market, AppOptions(api_key=KEY, plan=plan)) as url:
        code, shown, kept = ask(url, "--g5-plan", plan)
    assert [c for c in shown["checks"] if c["level"] != "ok"] == []
    assert (code, shown["plan"], shown["origin"], shown["host"]) == (
        *(0, plan, "simulator"),
        "loopback",
    )
    counted = [a["source"] for a in shown["answers"] if a["part"] != "files"]
    assert all(counted.count(source) <= 2 for source in counted)
    answered = {a["source"] for a in shown["answers"] if a["status"] == 200}
    of_plan = {endpoint.source for endpoint in ENDPOINTS if covers(plan, endpoint.plan)}
    left_out = {entry["why"] for entry in shown["not_asked"]}
    if plan == "free":
        assert {"trading_calendar", "listed"} <= answered < of_plan
        assert shown["requests"] <= 5
        assert left_out == {"the limit of the plan"}
    else:
        assert answered == of_plan
        assert left_out == set()
        assert len([a for a in shown["answers"] if a["part"] == "files"]) == 2
    assert checks(shown, "build") == [("ok", "estimated")]
    assert kept["answers"][0]["fields"]


def test_a_record_holds_no_text_of_the_data(
    market: Market, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text of every answer that is longer than a flag, against every text of the file."""
    came: list[Answer] = []
    judged = doctor.judged

    def listening(failed: Any, answers: list[Answer], questions: Any) -> Any:
        came.extend(answers)
        return judged(failed, answers, questions)

    monkeypatch.setattr(doctor, "judged", listening)
    with serving(market, AppOptions(api_key=KEY, plan="premium")) as url:
        _, _, kept = ask(url, "--g5-requests-per-minute", "0")
    assert {a["source"] for a in kept["answers"]} == {e.source for e in ENDPOINTS}
    rows = [row for a in came if a.page and a.path != LIST_PATH for row in a.page["data"]]
    leaves = [leaf for row in rows for leaf in leaves_of(row)]
    values = {leaf for leaf in leaves if isinstance(leaf, str) and len(leaf) > 3}
    assert len(values) > 300
    ours = set(texts_of(kept))
    assert not [(value, text) for value in values for text in ours if value in text]


def test_people_read_a_table_that_fits(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At most 100 characters wide; each finding says what to do; progress is on stderr."""
    with serving(market, AppOptions(api_key=KEY, plan="light")) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        words = ["doctor", "--output", str(tmp_path / "output"), "--g5-requests-per-minute", "0"]
        assert cli.main([*words, "--g5-plan", "standard"]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("g5 doctor 2024-06-29 09:00 JST: origin simulator, plan light")
    at = next(n for n, line in enumerate(lines) if line.startswith("problem  plan"))
    assert lines[at + 1].strip() == "next: plan = light (luigi.cfg, PLAN or --g5-plan)"
    assert lines[-1] == "problems 1, warnings 0"
    assert any(line.startswith("/equities/bars/daily date=") for line in said.err.splitlines())


# Servers that misbehave.


def vendor(request: Request) -> Reply:
    """A server of the plan Premium: a calendar of working days, and no row of anything else."""
    if request.path == "/markets/calendar":
        days = [FIRST + dt.timedelta(days=n) for n in range(300)]
        rows = [{"Date": str(day), "HolDiv": str(int(day.weekday() < 5))} for day in days]
        return Reply({"data": rows}, headers=MARK)
    return Reply({"data": []}, headers=MARK)


def but(path: str, reply: Reply) -> Callable[[Request], Reply]:
    """The same server, one path of which answers otherwise."""
    return lambda request: reply if request.path == path else vendor(request)


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize(
    ("reply", "about", "kind", "code"),
    [
        (FORBIDDEN, "key", "refused", 2),
        (Reply({"message": "The incoming token is invalid or expired."}, 401), "key", "refused", 2),
        (Reply({"message": KEY}, 401), "key", "refused", 2),
        (Reply({"message": "Too Many"}, 429), "limits", "refused", 2),
        (Reply(b"<html>Bad gateway</html>", 502), "plan", "not found out", 2),
        (Reply(b"<html>Sign in</html>", 200, MARK), "plan", "not found out", 2),
        (Reply(b'{"data": [', 200, MARK), "plan", "not found out", 2),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}), "plan", "not found out", 2),
        (Reply(b"", cut=0, headers=MARK), "plan", "not found out", 2),
    ],
)
def test_a_server_of_no_use_cannot_be_checked(
    fake: FakeServer, ask: Ask, reply: Reply, about: str, kind: str, code: int
) -> None:
    """Whatever it answers, there is a report, and never a traceback."""
    fake.script = lambda _: reply
    ended, shown, _ = ask(fake.url, "--g5-requests-per-minute", "0")
    assert (ended, shown["exit_code"]) == (code, code)
    assert ("problem", kind) in checks(shown, about)
    assert KEY not in json.dumps(shown)


@pytest.mark.usefixtures("no_machine")
def test_nobody_there(ask: Ask) -> None:
    code, shown, _ = ask(NOBODY)
    assert (code, checks(shown, "network"), shown["plan"]) == (2, [("problem", "no answer")], None)


@pytest.mark.usefixtures("no_machine")
def test_a_server_that_hangs_is_left(
    fake: FakeServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for all requests is a limit, whatever the server does."""
    hung = Reply({"data": []}, headers=MARK, delay_s=4.0)
    fake.script = but("/equities/master", hung)
    real = doctor.examine_account
    monkeypatch.setattr(doctor, "examine_account", lambda s, say: real(s, say, patience_s=2.0))
    begun = time.monotonic()
    code, shown, _ = ask(fake.url, "--g5-requests-per-minute", "0")
    assert time.monotonic() - begun < 15
    assert code == 1
    assert {"source": "listed", "part": "recent", "why": "the time was over"} in shown["not_asked"]
    assert checks(shown, "time") == [("warning", "not everything asked")]


@pytest.mark.usefixtures("no_machine")
def test_after_a_429_nothing_is_asked(fake: FakeServer, ask: Ask) -> None:
    fake.requests.clear()
    fake.script = but("/equities/master", Reply({"message": "slow down"}, 429))
    code, shown, _ = ask(fake.url, "--g5-requests-per-minute", "0")
    assert code == 1
    assert checks(shown, "limits") == [("problem", "refused")]
    assert len(fake.requests) < 12  # those on their way, and no more
    assert {entry["why"] for entry in shown["not_asked"]} == {
        "the server refused for too many requests"
    }


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize(
    ("path", "reply", "about", "expected", "then"),
    [
        (
            *("/equities/valuation", FORBIDDEN, "valuation"),
            *(("problem", "refused"), "unavailable_sources = valuation"),
        ),
        (
            *("/markets/breakdown", Reply({"message": "boom"}, 500), "breakdown"),
            *(("problem", "failed"), "unavailable_sources = breakdown"),
        ),
        (
            *("/fins/summary", Reply({"message": "no"}, 404), "fin_summary"),
            *(("problem", "no such path"), "JQUANTS_API_BASE"),
        ),
        (
            *("/markets/margin-alert", Reply({"message": "closed"}, 400), "margin_alert"),
            *(("problem", "not answered"), "unavailable_sources = margin_alert"),
        ),
        (
            *("/indices/bars/daily", Reply({"rows": []}, headers=MARK), "indices"),
            *(("problem", "no rows"), "unavailable_sources = indices"),
        ),
        (
            *("/equities/bars/daily", Reply({"data": []}, headers=MARK), "daily_bars"),
            *(("problem", "empty"), "there is no row without it"),
        ),
        (
            *("/equities/bars/daily", Reply({"data": [1, "x"]}, headers=MARK), "daily_bars"),
            *(("problem", "unreadable"), "there is no row without it"),
        ),
        (
            *("/bulk/list", Reply({"data": "none"}, headers=MARK), "bulk"),
            *(("problem", "unusable"), "source_route = requests"),
        ),
        (
            *("/bulk/list", FORBIDDEN, "bulk"),
            *(("problem", "unusable"), "source_route = requests"),
        ),
        (
            *("/bulk/list", Reply({"data": []}, headers=MARK), "bulk"),
            *(("warning", "empty"), "source_route = requests"),
        ),
        (
            *("/markets/calendar", Reply({"data": []}, headers=MARK), "calendar"),
            *(("problem", "unusable"), "run g5 doctor again"),
        ),
    ],
)
def test_each_trouble_of_a_source_says_what_to_do(
    fake: FakeServer,
    ask: Ask,
    path: str,
    reply: Reply,
    about: str,
    expected: tuple[str, str],
    then: str,
) -> None:
    fake.script = but(path, reply)
    code, shown, kept = ask(fake.url, "--g5-requests-per-minute", "0")
    assert code == 1
    found = [
        c for c in shown["checks"] if (c["level"], c["kind"], c["about"]) == (*expected, about)
    ]
    assert found
    assert all(then in check["next"] for check in found)
    assert expected in checks(kept, about)


@pytest.mark.usefixtures("no_machine")
def test_fields_that_differ_are_named(fake: FakeServer, ask: Ask) -> None:
    """The unknown segment of the market is said to the user, and to nobody else."""
    row = {f.name: "1" for f in endpoint_of("listed").fields if f.required}
    row |= {"Date": "2024-06-28", "Code": "13010", "Mkt": "0987", "S33": "50", "New": 1, "S17": "1"}
    fake.script = but("/equities/master", Reply({"data": [row, row]}, headers=MARK))
    code, shown, kept = ask(fake.url, "--g5-requests-per-minute", "0")
    assert code == 1
    found = set(checks(shown, "listed"))
    assert {("problem", "member"), ("warning", "padding"), ("warning", "new")} <= found
    assert ("warning", "repeated") in found
    assert "'0987'" in json.dumps(shown)
    assert "0987" not in json.dumps(kept)


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize(("ahead", "words"), [(300.0, "ahead of"), (-4000.0, "behind")])
def test_a_clock_that_is_off(
    fake: FakeServer, ask: Ask, monkeypatch: pytest.MonkeyPatch, ahead: float, words: str
) -> None:
    fake.script = vendor
    monkeypatch.setattr(SystemClock, "wall", lambda _: time.time() + ahead)
    code, shown, kept = ask(fake.url, "--g5-requests-per-minute", "0")
    assert code == 1
    (found,) = [c for c in shown["checks"] if c["about"] == "clock"]
    assert (found["level"], words in found["text"]) == ("warning", True)
    (same,) = [c for c in kept["checks"] if c["about"] == "clock"]
    assert abs(same["facts"]["ahead_s"] - ahead) < 10


@pytest.mark.usefixtures("no_machine")
def test_headers_about_limits_are_named(fake: FakeServer, ask: Ask) -> None:
    fake.script = but(
        "/equities/master", Reply({"data": []}, headers=MARK | {"X-RateLimit-Remaining": "41"})
    )
    _, shown, kept = ask(fake.url, "--g5-requests-per-minute", "0")
    (said,) = [c["text"] for c in shown["checks"] if c["about"] == "limits"]
    assert "X-RateLimit-Remaining: 41" in said
    (facts,) = [c["facts"] for c in kept["checks"] if c["about"] == "limits"]
    assert facts["headers"] == ["X-RateLimit-Remaining"]


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ((), {"JQUANTS_API_KEY": None}, "JQUANTS_API_KEY is not set"),
        ((), {"JQUANTS_API_KEY": "not a key"}, "JQUANTS_API_KEY: expected"),
        ((), {"JQUANTS_API_BASE": "ftp://x"}, "JQUANTS_API_BASE: expected a URL"),
        (("--g5-plan", "gold"), {}, "plan 'gold': expected"),
        (("--record", "/nowhere/at/all"), {}, "expected a file in a folder that exists"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    flags: tuple[str, ...],
    environment: dict[str, str | None],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JQUANTS_API_BASE", NOBODY)
    for name, value in environment.items():
        monkeypatch.delenv(name)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cli.main(["doctor", "--output", str(tmp_path / "output"), *flags]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("g5 doctor: error: ")
    assert said in line


def test_a_stranger_is_no_simulator(
    fake: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Answers without the simulator's mark from this machine: one line, as of every command."""
    fake.script = lambda _: Reply({"data": []})
    monkeypatch.setenv("JQUANTS_API_BASE", fake.url)
    assert cli.main(["doctor", "--output", str(tmp_path / "output")]) == 2
    assert "expected origin simulator" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("own_configuration")
def test_a_disk_too_small_and_a_machine_too_small_are_said(
    market: Market, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = build_forecast.shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=10**6))
    monkeypatch.setattr(build_forecast.host_capacity, "memory", lambda: 2**30)
    with serving(market, AppOptions(api_key=KEY, plan="standard")) as url:
        code, shown, _ = ask(url, "--g5-plan", "standard", "--g5-requests-per-minute", "0")
    assert code == 1
    assert checks(shown, "disk") == [("problem", "full")]
    assert checks(shown, "machine") == [("warning", "small")]


def test_the_estimate_says_why_it_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, market: Market, ask: Ask
) -> None:
    def refused(*_: object, **__: object) -> Check:
        raise UsageError("the output root is not writable", "choose another")

    monkeypatch.setattr(build_forecast.run_preview, "plan_of", refused)
    with serving(market, AppOptions(api_key=KEY, plan="light")) as url:
        code, shown, _ = ask(url, "--g5-plan", "light", "--g5-requests-per-minute", "0")
    assert (code, checks(shown, "build")) == (1, [("problem", "refused")])
