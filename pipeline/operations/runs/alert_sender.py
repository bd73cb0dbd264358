"""Sends alerts by email and webhook, to every channel that is configured.

Luigi sends the email, by its settings ``[email]`` and ``[smtp]``; the webhook is the environment
variable G5_WEBHOOK_URL, a secret. ``report.alert_rules`` decides which alert is due. A message that
reaches no channel counts as not sent. A failing channel is a warning and no failure.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from luigi import notifications
from luigi.configuration import get_config

from pipeline import configuration as config
from pipeline.api.http import webhook
from pipeline.errors import PipelineError
from pipeline.exit_codes import ExitCode, is_signal
from pipeline.filesystem import documents
from pipeline.filesystem.atomic import exclusive
from pipeline.filesystem.location import on_host
from pipeline.operations.inspection.health_check import Finding
from pipeline.process import log_setup
from pipeline.process.log_setup import WEBHOOK
from pipeline.report.alert_rules import Cause, Look, Message, Told, due
from pipeline.run_state.history import RunHistory

log = logging.getLogger(__name__)

#: Each finding of these checks is a cause of its own; all findings of another check are one.
_BY_SUBJECT = ("schema", "runs")


@dataclass(frozen=True)
class Sent:
    """The result of sending a message by one channel.

    Attributes:
        channel: ``email`` or ``webhook``.
        to: whom it went to, for people; never the address of a webhook.
        problem: why it did not arrive; None when it did.
    """

    channel: str
    to: str
    problem: str | None

    def __str__(self) -> str:
        result = f"not sent: {self.problem}" if self.problem else f"sent {self.to}"
        return f"{self.channel:8} {result}"


def channels() -> list[str]:
    """The names of the configured channels."""
    mail = notifications.email()
    by_mail = ["email"] if mail.receiver and mail.format != "none" else []
    return by_mail + (["webhook"] if os.environ.get(WEBHOOK) else [])


def send(message: Message) -> list[Sent]:
    """Send to every configured channel; never raises."""
    senders = {"email": _email, "webhook": _webhook}
    sent = []
    for name in channels():
        try:
            sent.append(Sent(name, senders[name](message), None))
        except PipelineError as error:
            sent.append(Sent(name, "", error.message.removeprefix(f"{name}: ")))
        except Exception as error:  # noqa: BLE001  (a mailer raises what it likes)
            problem = log_setup.without_secret(" ".join(f"{type(error).__name__}: {error}".split()))
            sent.append(Sent(name, "", problem))
    return sent


def notify(root: Path, look: Look) -> None:
    """Send what is due, if a channel is configured; a failure is a warning."""
    try:
        if channels():
            _send_due(root, look)
    except Exception as error:  # noqa: BLE001  (a malformed setting of Luigi's is a ValueError)
        log.warning("alerts: %s", log_setup.without_secret(" ".join(str(error).split())))


def health_checked(root: Path, findings: Iterable[Finding]) -> None:
    """Report what the health check found, and what it no longer finds."""
    notify(root, Look("health", tuple(causes_of(findings)), config.stamp()))


def run_ended(root: Path, what: str, code: int, problem: str | None = None) -> None:
    """Report that a run failed, or that it succeeds again.

    A run that was stopped, or refused because another one is writing, is neither.

    Args:
        what: such as ``run production`` or ``daily``.
        problem: in one line; None: as in its record.
    """
    if code == ExitCode.ALREADY_RUNNING or is_signal(code):
        return
    if not code:
        notify(root, Look(what, (), config.stamp()))
        return
    reason = problem or _recorded(root) or f"see {on_host(root) / 'logs'}"
    key = reason.partition(":")[0][:80]  # the step, or the setting
    text = f"{what} failed with exit code {code}: {reason}"
    notify(root, Look(what, (Cause(key, text),), config.stamp(), whole=False))


def causes_of(findings: Iterable[Finding]) -> Iterator[Cause]:
    """Findings as causes: keys do not change with numbers, dates or names of datasets."""
    texts: dict[str, list[str]] = {}
    for finding in findings:
        by_subject = f"{finding.check} {finding.subject}"
        key = by_subject if finding.check in _BY_SUBJECT else finding.check
        texts.setdefault(key, []).append(str(finding))
    for key, lines in texts.items():
        yield Cause(key, "; ".join(lines))


def open_alerts(root: Path) -> list[Told]:
    """Alerts that were sent and are not resolved."""
    return [alert for alert in _read(_path(root)) if alert.state == "open"]


def _send_due(root: Path, look: Look) -> None:
    path = _path(root)
    with exclusive(path.with_name("alerts.lock")):
        known = _read(path)
        message, after = due(look, known, f"{socket.gethostname()}: {root}")
        if after != known:
            _write(path, after)  # first: otherwise a failure would repeat the alert for ever
        if message is None:
            return
        sent = send(message)
        for each in sent:
            if each.problem:
                log.warning("alerts: %s: %s; g5 notify --test", each.channel, each.problem)
        if all(each.problem for each in sent):
            _write(path, known)


def _path(root: Path) -> Path:
    """The alerts that were sent."""
    return on_host(root) / "run" / "alerts.json"


def _read(path: Path) -> list[Told]:
    """None if the file is missing or damaged: better sent twice than never."""
    try:
        entries = documents.read_document(path, "alerts")["alerts"]
    except PipelineError:
        return []
    return [Told.from_json(entry) for entry in entries]


def _write(path: Path, alerts: Iterable[Told]) -> None:
    documents.write_document(path, "alerts", {"alerts": [asdict(alert) for alert in alerts]})


def _recorded(root: Path) -> str | None:
    """The error in the record of this run."""
    try:
        record = RunHistory(root).so_far(log_setup.run_id())
    except PipelineError:
        return None
    return record["error"] if record is not None else None


def _webhook(message: Message) -> str:
    return f"(HTTP {webhook.post(os.environ[WEBHOOK], message.text)})"


def _email(message: Message) -> str:
    """Luigi only logs when a server does not answer or refuses."""
    get_config().set("email", "force_send", "true")  # also from a terminal
    mail = notifications.email()
    with _errors_of("luigi-interface") as errors, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of Luigi about its own defaults
        notifications.send_email(message.subject, message.body, mail.sender, [mail.receiver])
    if errors:
        raise PipelineError(f"email: {errors[0]}", "[email] and [smtp] in luigi.cfg")
    return f"to {mail.receiver}"


@contextmanager
def _errors_of(name: str) -> Iterator[list[str]]:
    """Silence a logger and collect its errors."""
    errors: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            errors.append(log_setup.without_secret(" ".join(record.getMessage().split())))
        return False

    logger = logging.getLogger(name)
    logger.addFilter(keep)
    try:
        yield errors
    finally:
        logger.removeFilter(keep)
