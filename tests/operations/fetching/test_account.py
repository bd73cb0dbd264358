"""The plan of a run comes from the account; who answers is as declared."""

from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import configuration
from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.api.catalogue.plans import PLANS, Plan
from pipeline.api.http.retry import hint_for
from pipeline.configuration import OFFICIAL_API, Settings
from pipeline.errors import ApiError, UsageError
from pipeline.operations.fetching import account
from pipeline.run_state.account_memory import AccountBook
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from pipeline.simulator.server.app import DEFAULT_API_KEY
from tests.api.fakes import FakeServer, Reply, running_server
from tests.tasks.commands import FEW_SOURCES, NOBODY, Home, simulator
from tests.tasks.conftest import MARKET, RANGE
from tests.tasks.vendor import settings_at

TODAY = "2024-06-29T09:00"
NOT_IN_PLAN = "This API is not available on your subscription."


@pytest.fixture(scope="module")
def market() -> Market:
    first, last = dt.date(2024, 1, 4), dt.date(2024, 6, 28)
    return Market(MarketSpec(seed=7, stocks=12, start=first, end=last))


@pytest.fixture(scope="module")
def module_server() -> Iterator[FakeServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def server(module_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """The vendor as others put it on this machine: without the simulator's mark."""
    module_server.requests.clear()
    monkeypatch.setenv("JQUANTS_API_BASE", module_server.url)
    return module_server


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("G5_SETTINGS", "G5_RUN_ID"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
    monkeypatch.setenv("G5_NOW", TODAY)


def unknown(root: Path, **changes: object) -> Settings:
    """Settings of a run whose plan nobody has said."""
    return settings_at(root, plan_from="assumption", **changes)


@pytest.mark.parametrize("plan", PLANS)
def test_the_plan_is_found_once_and_remembered(
    plan: Plan,
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run that is refused before it holds its root leaves no trace; one that goes on says it."""
    with serving(market, AppOptions(plan=plan)) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        found = account.settled(unknown(tmp_path))
        assert (found.plan, found.plan_from) == (plan, "account")
        assert not list(tmp_path.iterdir())
        with caplog.at_level(logging.INFO):
            account.keep(found)
    (line,) = [record.getMessage() for record in caplog.records if "plan" in record.getMessage()]
    assert line == f"plan: {plan} (found out with 2 requests; set plan = {plan} to skip this)"
    configuration._plans.clear()  # as in another process, with nobody to ask any more
    later = configuration.at_root(unknown(tmp_path), tmp_path)
    assert (later.plan, later.plan_from) == (plan, "account")
    assert account.settled(later) == later


def test_who_only_looks_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remembered plan, else the largest, and it is said which."""
    monkeypatch.setenv("JQUANTS_API_BASE", NOBODY)
    monkeypatch.delenv("JQUANTS_API_KEY")
    looking = configuration.at_root(unknown(tmp_path), tmp_path)
    assert (looking.plan, looking.plan_from) == ("premium", "assumption")
    book = AccountBook(tmp_path)
    book.remember(NOBODY, "any", configuration.plan_found(tmp_path / "other", "light"))
    configuration._plans.clear()
    looking = configuration.at_root(unknown(tmp_path), tmp_path)
    assert (looking.plan, looking.plan_from) == ("light", "account")


@pytest.mark.parametrize(
    "changes",
    [{"plan_from": "setting"}, {"source_cache_mode": "read"}, {"source_route": "files"}],
    ids=lambda changes: next(iter(changes)),
)
def test_nobody_is_asked_where_no_plan_is_needed(
    changes: dict[str, str], tmp_path: Path, server: FakeServer
) -> None:
    settings = replace(unknown(tmp_path), **changes)  # type: ignore[arg-type]
    assert account.settled(settings) == settings
    assert server.requests == []


def remembered(root: Path, url: str, plan: Plan) -> Settings:
    """Settings with a plan that another process found out at the moment of the tests."""
    AccountBook(root).remember(url, DEFAULT_API_KEY, configuration.plan_found(root, plan))
    configuration._plans.clear()
    return configuration.at_root(unknown(root), root)


@pytest.mark.parametrize(("now", "plan"), [("2024-07-05", "light"), ("2024-07-07", "standard")])
def test_a_remembered_plan_is_asked_for_again_after_a_week(
    now: str, plan: Plan, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an upgrade is noticed."""
    with serving(market, AppOptions(plan="standard")) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        settings = remembered(tmp_path, url, "light")
        monkeypatch.setenv("G5_NOW", f"{now}T09:00")
        assert account.settled(settings).plan == plan


def test_a_plan_found_out_before_does_while_the_server_fails(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the failure ends the run."""
    settings = remembered(tmp_path, server.url, "light")
    monkeypatch.setenv("G5_NOW", "2024-07-07T09:00")
    for status in (None, 503):

        def fail(*_words: object, status: int | None = status) -> None:
            raise ApiError("/markets/short-ratio", {}, status=status, server_message="down")

        monkeypatch.setattr(account, "find_plan", fail)
        assert account.settled(settings) == settings
        with pytest.raises(ApiError, match="down"):
            account.settled(replace(settings, plan_from="assumption"))


def test_a_refused_key_ends_a_run_whose_plan_was_known(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = remembered(tmp_path, server.url, "light")
    server.script = lambda _: Reply({"message": "expired"}, 401)
    monkeypatch.setenv("G5_NOW", "2024-07-07T09:00")
    with pytest.raises(ApiError, match="JQUANTS_API_KEY"):
        account.settled(settings)


def test_a_refused_key_stops_before_anything_is_asked(tmp_path: Path, server: FakeServer) -> None:
    for status, said in ((401, "The incoming token is invalid or expired."), (403, "Forbidden")):
        reply = Reply({"message": said}, status, {"X-Simulator": "g5"})
        server.script = lambda _, reply=reply: reply  # type: ignore[misc]
        with pytest.raises(ApiError, match="JQUANTS_API_KEY") as caught:
            account.settled(unknown(tmp_path))
        assert DEFAULT_API_KEY not in str(caught.value)
        assert caught.value.status == status
    assert not list(tmp_path.iterdir())


def fetch(settings: Settings, source: str, said: str = NOT_IN_PLAN, status: int = 403) -> None:
    """What the fetch of a source comes to that is refused."""
    with account.explained(settings, source):
        raise ApiError(
            endpoint_of(source).path,
            {"date": "2024-03-01"},
            status=status,
            server_message=said,
            hint=hint_for(status, said),
        )


def test_a_plan_that_is_set_too_large_is_blamed_by_name(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one setting to change, and what to; ``auto`` knows it from then on."""
    with serving(market, AppOptions(plan="light")) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        with pytest.raises(UsageError) as caught:
            fetch(settings_at(tmp_path, plan="standard"), "short_ratio")
    assert "plan 'standard': the account has 'light'" in caught.value.message
    assert "set plan to light or auto" in caught.value.hint
    configuration._plans.clear()
    assert configuration.at_root(unknown(tmp_path), tmp_path).plan == "light"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("short_ratio", "unavailable_sources = short_ratio"),
        ("daily_bars", "there is no row without it"),
    ],
)
def test_a_source_that_is_refused_although_the_plan_has_it_ends_alone(
    source: str, hint: str, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of plans may be wrong about a source: the others go on."""
    ended: list[bool] = []
    monkeypatch.setattr(account, "_end_run", lambda: ended.append(True))
    with serving(market, AppOptions(plan="standard")) as url:
        monkeypatch.setenv("JQUANTS_API_BASE", url)
        with pytest.raises(ApiError, match=hint):
            fetch(settings_at(tmp_path, plan="standard"), source)
    assert ended == []


@pytest.mark.parametrize(
    ("status", "said", "hint", "ends"),
    [
        (401, "The incoming token is invalid or expired.", "check JQUANTS_API_KEY", True),
        (403, "Forbidden", "check JQUANTS_API_KEY", True),
        (403, "There is no active subscription", "choose a plan", True),
        (403, "The requested endpoint does not exist", "JQUANTS_API_BASE", False),
    ],
)
def test_a_refusal_says_what_it_is_about(
    status: int, said: str, hint: str, ends: bool, tmp_path: Path, server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A key that is refused is refused for the other sources too: the run ends there."""
    ended: list[bool] = []
    monkeypatch.setattr(account, "_end_run", lambda: ended.append(True))
    server.script = lambda _: Reply({"message": said}, status)
    with pytest.raises(ApiError) as caught:
        fetch(settings_at(tmp_path), "dividend", said, status)
    assert hint in caught.value.hint
    assert bool(ended) == ends


_PARENT = """
import multiprocessing, signal, sys
from pipeline.operations.fetching import account

if __name__ == "__main__":
    heard = []
    if sys.argv[1] == "listening":
        signal.signal(signal.SIGUSR1, lambda *_: heard.append(True))
    child = multiprocessing.Process(target=account._end_run)
    child.start()
    child.join()
    print("heard" if heard else "undisturbed")
"""


@pytest.mark.parametrize(
    ("parent", "becomes"), [("listening", "heard\n"), ("deaf", "undisturbed\n")]
)
def test_only_a_worker_that_listens_gets_the_signal(
    parent: str, becomes: str, tmp_path: Path
) -> None:
    """It would end any other process; what flags a worker got, its task process does not see."""
    script = tmp_path / "parent.py"
    script.write_text(_PARENT, "utf-8")
    command = [sys.executable, str(script), parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, becomes), done.stderr


def test_refused_files_are_no_refusal_of_the_account(tmp_path: Path, server: FakeServer) -> None:
    """A download URL is of another host, which knows nothing of keys and plans."""
    with pytest.raises(ApiError) as caught, account.explained(settings_at(tmp_path), "dividend"):
        raise ApiError("/files/x.csv.gz", {}, status=403, server_message="AccessDenied")
    assert caught.value.hint == ""
    assert server.requests == []


@pytest.mark.parametrize(
    ("declared", "base", "server"),
    [
        ("auto", OFFICIAL_API, "api"),
        ("auto", NOBODY, "simulator"),
        ("api", NOBODY, "api"),
        ("api", OFFICIAL_API, "api"),
        ("simulator", NOBODY, "simulator"),
        ("simulator", "https://simulator.example/v2", "simulator"),
    ],
)
def test_who_answers_is_as_declared(
    declared: str, base: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything built says it; a helper, which has no address of its own, takes it over."""
    monkeypatch.setenv("JQUANTS_API_BASE", base)
    settings = settings_at(tmp_path, declared_origin=declared)
    assert (settings.server, settings.origin) == (server, server)
    handed = configuration.environment({"origin": declared}, settings.server)
    monkeypatch.setenv("JQUANTS_API_BASE", handed["JQUANTS_API_BASE"])
    told = json.loads(handed["G5_SETTINGS"])["origin"]
    assert settings_at(tmp_path, declared_origin=told).server == server


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Settings]]:
    """Settings by the environment variables a user would set."""

    def settings(origin: str) -> Settings:
        monkeypatch.setenv("ORIGIN", origin)
        configuration.install_defaults()
        return configuration.settings()

    yield settings
    configuration.override({"origin": "auto"})


def test_the_options_are_read_from_the_environment(
    declared: Callable[[str], Settings],
) -> None:
    assert declared("api").declared_origin == "api"
    assert configuration.decisive()["origin"] == "api"
    assert (
        configuration.decisive()["plan"] in PLANS
    )  # never auto: a helper has no key to find it out
    with pytest.raises(UsageError, match="origin 'vendor': expected one of auto, api, simulator"):
        declared("vendor")


def test_a_run_with_too_large_a_plan_ends_at_the_first_refusal(tmp_path: Path) -> None:
    """One source of Standard is refused, with the setting to change; the other is not asked for.
    A run that finds the plan out itself needs no word about it."""
    few = FEW_SOURCES["UNAVAILABLE_SOURCES"].replace("margin_interest,", "")
    few = few.replace("short_ratio,", "") + ",fin_summary,topix,valuation"
    with simulator(*MARKET, "--plan", "light") as url:
        home = Home(tmp_path / "output", url, tmp_path, {"UNAVAILABLE_SOURCES": few})
        ended = home.having(PLAN="standard").run("BuildAll", *RANGE)
        assert ended.code == 30, ended.told
        refused = [line for line in ended.told if "FetchSource " in line]
        assert len(refused) == 1, ended.told
        assert "set plan to light or auto" in refused[0]
        plan = home.having(PLAN=None).g5("plan", *RANGE)
    assert plan.code == 3, plan.told
    assert "plan light, origin simulator" in plan.out
