"""Alerts that are really sent: to a mail server and a web server of this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.servers import Handler, serving
from tests.tasks.commands import NOBODY, Home

SECRET = "T0SECRET/B0SECRET/xyzzy-not-for-logs"


@dataclass
class Sinks:
    """What arrived.

    Attributes:
        url: of the webhook.
        status: what the webhook answers.
    """

    smtp_port: int
    url: str
    mails: list[EmailMessage] = field(default_factory=list)
    posts: list[Any] = field(default_factory=list)
    status: int = 200

    def config(self) -> str:
        """Luigi's own settings, as an operator writes them."""
        return (
            "[email]\nreceiver = ops@example.com\nsender = g5@example.com\n"
            f"[smtp]\nhost = 127.0.0.1\nport = {self.smtp_port}\ntimeout = 5\n"
        )


@pytest.fixture
def sinks() -> Iterator[Sinks]:
    """A mail server and a web server that keep what they get."""
    found = Sinks(_free_port(), "")

    class Mails:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            mail = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(mail, EmailMessage)
            found.mails.append(mail)
            return "250 OK"

    class Hook(Handler):
        def do_POST(self) -> None:
            found.posts.append((self.path, json.loads(self.content())))
            self.answer(found.status)

    mail = Controller(Mails(), hostname="127.0.0.1", port=found.smtp_port)
    mail.start()
    try:
        with serving(Hook) as url:
            found.url = f"{url}/{SECRET}"
            yield found
    finally:
        mail.stop()


@pytest.fixture
def home(tmp_path: Path, sinks: Sinks) -> Home:
    """An empty output root, where the health check finds that there is no dataset."""
    (tmp_path / "luigi.cfg").write_text(sinks.config())
    return Home(tmp_path / "output", NOBODY, tmp_path, {"G5_WEBHOOK_URL": sinks.url})


def on(home: Home, day: int, hour: int = 9) -> Home:
    return home.having(G5_NOW=f"2024-06-{day:02d}T{hour:02d}:00")


def words(mail: EmailMessage) -> str:
    """Of a mail, whose first part is the text."""
    text: str = next(mail.iter_parts()).get_content()
    return text


def test_an_alert_arrives_once_a_day_and_so_does_the_all_clear(home: Home, sinks: Sinks) -> None:
    """By mail and by webhook; the address of the webhook is in no file and no line."""
    down = ("--scheduler-url", "http://127.0.0.1:9")
    ended = [on(home, 28).g5("health", *down)]
    assert ended[0].code == 1
    (mail,), ((path, post),) = sinks.mails, sinks.posts
    assert (mail["To"], mail["From"]) == ("ops@example.com", "g5@example.com")
    assert mail["Subject"] == "g5 health: 2 alerts"
    assert "no dataset; run g5 run production" in words(mail)
    assert path == f"/{SECRET}"
    assert post.keys() == {"text"}
    assert post["text"].startswith("g5 health: 2 alerts\nfreshness: ")
    ended.append(on(home, 28, 10).g5("health", *down))
    assert (len(sinks.mails), len(sinks.posts)) == (1, 1)
    ended.append(on(home, 29).g5("health", *down))
    assert (len(sinks.mails), len(sinks.posts)) == (2, 2)
    assert "since 2024-06-28T09:00:00+09:00" in sinks.posts[1][1]["text"]
    ended += [on(home, 29, 10).g5("health"), on(home, 29, 11).g5("health")]
    assert (len(sinks.mails), len(sinks.posts)) == (3, 3)
    assert sinks.mails[2]["Subject"] == "g5 health: recovered, 1 cause"
    assert words(sinks.mails[2]).startswith(
        "recovered: luigid: http://127.0.0.1:9: does not answer"
    )
    shown = home.g5("notify")
    assert shown.code == 0
    assert "channels email, webhook" in shown.out
    assert "no dataset" in shown.out
    assert [one.told for one in ended] == [[]] * 5
    _nowhere(home, *(word for one in [*ended, shown] for word in (one.out, *one.told)))


def test_a_run_that_fails_is_told_and_keeps_its_exit_code(home: Home, sinks: Sinks) -> None:
    """Also when no channel takes the message: a warning, and told the next time."""
    sinks.status = 503
    nobody = home.having(LUIGI_CONFIG_PATH=str(home.folder / "other.cfg"))
    (home.folder / "other.cfg").write_text(
        sinks.config().replace(f"port = {sinks.smtp_port}", f"port = {_free_port()}")
    )
    ended = nobody.g5("run", "merge")
    assert ended.code == 20
    warned = [line for line in ended.told if "warning: alerts: " in line]
    assert len(warned) == 2
    assert "Not able to connect to smtp server" in warned[0]
    assert "webhook: HTTP 503" in warned[1]
    assert sinks.mails == []
    noted = json.loads((home.root / "run" / "alerts.json").read_text())
    assert noted == {"alerts": []}
    sinks.status = 200
    again = home.g5("run", "merge")
    assert again.code == 20
    assert (
        "g5 run merge: 1 alert\nrun merge failed with exit code 20: " in sinks.posts[-1][1]["text"]
    )
    assert len(sinks.mails) == 1
    _nowhere(home, *ended.told, *again.told)


def test_the_channels_can_be_tried(home: Home, sinks: Sinks) -> None:
    """Each says what became of it: 0 all well, 1 one failed, 2 there is none."""
    well = home.g5("notify", "--test")
    assert well.code == 0
    assert well.out.splitlines() == [
        "email    sent to ops@example.com",
        "webhook  sent (HTTP 200)",
    ]
    assert sinks.posts[0][1]["text"].startswith("g5 test\nalerts of g5 arrive here")
    sinks.status = 404
    ill = home.g5("notify", "--test")
    assert (ill.code, ill.out.splitlines()[1]) == (1, "webhook  not sent: HTTP 404")
    (home.folder / "luigi.cfg").unlink()
    none = home.having(G5_WEBHOOK_URL=None).g5("notify", "--test")
    assert (none.code, none.out) == (2, "")
    assert "no channel" in none.told[0]
    _nowhere(home, *(w for one in (well, ill, none) for w in (one.out, *one.told)))


def _nowhere(home: Home, *texts: str) -> None:
    """The address of the webhook, or a part of it."""
    files = [path.read_text("utf-8") for path in home.folder.rglob("*") if path.is_file()]
    assert [text for text in (*texts, *files) if "SECRET" in text or "xyzzy" in text] == []


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
