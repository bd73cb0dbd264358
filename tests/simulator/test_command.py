"""``g5 sim serve`` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
import requests

from pipeline.cli import main

SMALL = ["--stocks", "10", "--start", "2024-01-04", "--end", "2024-02-29"]


@contextmanager
def command(*options, **environment):
    """A running server; its process and the line it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "sim", "serve", *SMALL, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_serves_and_stops_on_a_signal(number):
    """The URL is usable at once; the exit code is 0."""
    with command("--plan", "light", G5_SIM_API_KEY="k1") as (process, line):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v2\n", line)
        url = line.strip() + "/equities/bars/daily?date=2024-02-29"
        assert requests.get(url, headers={"x-api-key": "k1"}, timeout=20).json()["data"]
        assert requests.get(url, headers={"x-api-key": "simulator"}, timeout=20).status_code == 403
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stdout.read() == ""


def test_it_stops_after_its_time():
    """No server stays behind a forgotten test."""
    started = monotonic()
    with command("--max-seconds", "0.5") as (process, line):
        assert line
        assert process.wait(timeout=10) == 0
    assert monotonic() - started < 8


def test_it_stops_when_its_parent_is_gone():
    """The parent starts the server and dies at once."""
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'pipeline.cli',"
        f" 'sim', 'serve', *{SMALL!r}, '--exit-with-parent', '--max-seconds', '60'],"
        " stdout=subprocess.PIPE, text=True); print(p.pid, p.stdout.readline().strip())"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    pid, url = parent.stdout.split()
    assert url.startswith("http://")
    deadline = monotonic() + 10
    while monotonic() < deadline and _is_running(int(pid)):
        sleep(0.05)
    assert not _is_running(int(pid))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stocks", "1"], "stocks"),
        (["--end", "2023-01-01"], "before start"),
        (["--threads", "0"], "--threads"),
        (["--page-bytes", "0"], "--page-bytes"),
        (["--port", "99999"], "port 99999"),
        (["--rate-limit", "0"], "per_minute"),
        (["--rate-limit", "--rate-block-status", "200"], "block_status"),
        (["--clock-scale", "0"], "clock scale"),
        (["--bulk-roll-day", "31"], "roll day"),
        (["--fault", "flood:0.1"], "flood"),
        (["--fault", "503:often"], "KIND:RATE"),
        (["--dialect", "odd"], "evidence, plain, careless"),
        (["--dialect", "plain,size=big"], "expected one of float, int, text, got 'big'"),
        (["--dialect", "sizes=int"], "expected one of nested, lines,"),
    ],
)
def test_wrong_values_are_one_line_and_exit_code_2(capsys, options, said):
    """Nothing is printed on stdout."""
    assert main(["sim", "serve", *SMALL, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


def test_limits_files_and_faults_are_options():
    """Off by default; with them the first answer is a fault and the fourth is too many."""
    options = ["--rate-limit", "3", "--retry-after", "--fault", "503:1", "--bulk-url-reusable"]
    with command(*options) as (_, line):
        url, headers = line.strip() + "/markets/calendar", {"x-api-key": "simulator"}
        faults = url.removesuffix("/v2/markets/calendar") + "/_sim/faults"
        assert requests.get(url, headers=headers, timeout=20).status_code == 503
        assert requests.post(faults, json=[], timeout=20).json() == []
        assert requests.get(url, headers=headers, timeout=20).status_code == 200
        answers = [requests.get(url, headers=headers, timeout=20) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert 0 < int(answers[1].headers["Retry-After"]) <= 60


def test_a_limit_without_a_number_is_the_plans():
    """Five requests a minute on Free."""
    with command("--rate-limit", "--plan", "free", "--rate-window", "bucket") as (_, line):
        url, headers = line.strip() + "/markets/calendar", {"x-api-key": "simulator"}
        codes = [requests.get(url, headers=headers, timeout=20).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2


def test_a_bucket_may_hold_less_than_the_limit():
    """Two of sixty at once."""
    options = ["--rate-limit", "--plan", "light", "--rate-window", "bucket", "--rate-burst", "2"]
    with command(*options) as (_, line):
        url, headers = line.strip() + "/markets/calendar", {"x-api-key": "simulator"}
        codes = [requests.get(url, headers=headers, timeout=20).status_code for _ in range(4)]
    assert (codes[:2], codes.count(429) > 0) == ([200] * 2, True)


def test_a_port_in_use_is_refused(capsys):
    """The message says which port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["sim", "serve", *SMALL, "--port", str(port)]) == 2
    assert f"port {port}: cannot be opened" in capsys.readouterr().err


def _is_running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
