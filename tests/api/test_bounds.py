"""Servers that never end: dripping headers and bodies, bombs, endless files, odd redirects."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path

import orjson
import pytest

from pipeline.api import bulk
from pipeline.api.bulk import BulkFile, download
from pipeline.api.http import bodies, file_transfer
from pipeline.api.http.client import ApiSession, Timeouts
from pipeline.api.http.deadline import Deadline
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.api.http.retry import RetryPolicy
from pipeline.errors import ApiError, BadResponse
from tests.api.bulk_server import packed
from tests.api.fakes import KEY, FakeServer, Reply, session_to

PATH, QUERY = "/markets/calendar", {"from": "2024-01-04"}
BRIEF = Timeouts(connect_s=2.0, read_s=1.0, total_s=0.6, slowest_bytes_per_s=1e6)
PATIENT = Timeouts(connect_s=2.0, read_s=2.0, total_s=2.0)
ONCE = RetryPolicy(attempts=1)
OK = b"HTTP/1.1 200 OK\r\n"
Answer = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answer, file: Answer | None = None) -> Iterator[str]:
    """The base URL of a server that reads a request and lets ``answer`` write on the socket, or
    ``file`` when the path is /file."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                (file if file and request.startswith(b"GET /file ") else answer)(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v2"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(connection: socket.socket, piece: bytes) -> None:
    """One piece every 30 ms, for 20 s: no read timeout of ours would end it."""
    for _ in range(660):
        connection.sendall(piece)
        time.sleep(0.03)


def impatient(url: str, timeouts: Timeouts = BRIEF) -> ApiSession:
    limiter = RateLimiter({})
    return ApiSession(url, KEY, origin="api", limiter=limiter, timeouts=timeouts, policy=ONCE)


def drips_header_bytes(connection: socket.socket) -> None:
    connection.sendall(OK + b"X-Slow: ")
    drip(connection, b"x")


def drips_header_lines(connection: socket.socket) -> None:
    connection.sendall(OK)
    drip(connection, b"X-Slow: x\r\n")


def drips_status(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 ")
    drip(connection, b"O")


def goes_on_saying_continue(connection: socket.socket) -> None:
    drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")


def drips_body(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Length: 100000\r\n\r\n")
    drip(connection, b" ")


def drips_chunks(connection: socket.socket) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"1\r\n \r\n")


def drips_a_chunk_size(connection: socket.socket) -> None:
    connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(connection, b"0")


def drips_empty_gzip(connection: socket.socket) -> None:
    connection.sendall(OK + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n")
    drip(connection, gzip.compress(b""))


DRIPS = [
    *(drips_header_bytes, drips_header_lines, drips_status, goes_on_saying_continue),
    *(drips_body, drips_chunks, drips_a_chunk_size, drips_empty_gzip),
]


@pytest.mark.parametrize("answer", DRIPS)
def test_whatever_drips_ends_at_the_deadline(answer: Answer) -> None:
    """One deadline over status, headers and body; a byte now and then does not move it."""
    with answering(answer) as url, impatient(url) as session:
        began = time.monotonic()
        with pytest.raises(ApiError, match=r"answer not complete within 0\.6 s"):
            session.get(PATH, QUERY)
        assert 0.5 < time.monotonic() - began < BRIEF.total_s + 5.0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")
@pytest.mark.parametrize("answer", [drips_header_bytes, drips_body])
def test_the_deadline_holds_over_tls(answer: Answer, tmp_path: Path) -> None:
    """The same way, below the encryption; and an answer that comes is read."""
    made = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", made, "-out", made]
    subprocess.run([*command.split(), *names], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made)
    replies = [lambda connection: connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}"), answer]

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        impatient(f"https://localhost:{listener.getsockname()[1]}/v2", PATIENT) as session,
    ):
        session._http.verify = str(made)

        def serve() -> None:
            with suppress(OSError):
                raw, _ = listener.accept()
                with context.wrap_socket(raw, server_side=True) as connection:
                    for reply in replies:
                        connection.recv(65536)
                        reply(connection)

        threading.Thread(target=serve, daemon=True).start()
        assert session.get(PATH, QUERY) == {}
        began = time.monotonic()
        with pytest.raises(ApiError, match="answer not complete within"):
            session.get(PATH, QUERY)
        assert time.monotonic() - began < PATIENT.total_s + 5.0


def test_a_connection_may_be_used_again_after_a_short_deadline() -> None:
    """What was left of the first request's time is not the next one's."""
    answers: list[int] = []

    def answer(connection: socket.socket) -> None:
        answers.append(id(connection))
        time.sleep(0.8)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")

    with answering(answer) as url, impatient(url, PATIENT) as session:
        assert [session.get(PATH, QUERY) for _ in range(3)] == [{}] * 3
    assert len(set(answers)) == 1


def test_an_error_that_drips_is_still_the_error() -> None:
    """The status has come; its text is what came of it."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\nno ")
        drip(connection, b"x")

    with answering(answer) as url, impatient(url) as session:
        with pytest.raises(ApiError, match="HTTP 403: no xxx"):
            session.get(PATH, QUERY)
        assert session.requests_sent == 1


@pytest.mark.parametrize("encoding", [b"", b"Content-Encoding: gzip\r\n"])
def test_of_an_endless_error_64_kib_are_read(encoding: bytes) -> None:
    """Packed or not; the connection is closed then."""
    sent = []
    text = b"x" * 65536
    piece = gzip.compress(text) if encoding else text

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" + encoding + b"\r\n")
        with suppress(OSError):
            for _ in range(100_000):
                connection.sendall(piece)
                sent.append(len(piece))

    with answering(answer) as url, impatient(url) as session:
        with pytest.raises(ApiError, match="HTTP 400: xxx"):
            session.get(PATH, QUERY)
    assert sum(sent) < 64 << 20  # what the buffers of both sockets took, not 6 GB


def bomb(size: int, head: bytes = b'{"data": "', piece: int = 1 << 20) -> bytes:
    """A thousandth of ``size`` in gzip that unpacks to it; the end is not written."""
    packer = zlib.compressobj(9, wbits=31)
    begin = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush equal content is packed into equal bytes.
    middle = packer.compress(b"a" * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + middle * (size // piece)


_PEAK = """
import sys, threading
from pipeline.api.http import bodies
from pipeline.api.http.retry import RetryPolicy
from pipeline.api.http.rate_limit import RateLimiter
from pipeline.api.http.client import ApiSession
from pipeline.errors import BadResponse

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

url, threads = sys.argv[1], int(sys.argv[2])
refused = []

def get():
    try:
        session.get("/markets/calendar", {})
    except BadResponse as error:
        refused.append(str(error))

with ApiSession(
    url, "key", origin="api", limiter=RateLimiter({}), pool_size=threads,
    policy=RetryPolicy(attempts=1),
) as session:
    base = peak()
    workers = [threading.Thread(target=get) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
assert len(refused) == threads, refused
assert all("larger than 32 MiB unpacked" in text for text in refused), refused
print(peak() - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 16])
def test_a_bomb_is_refused_in_little_memory(threads: int) -> None:
    """6 MB that unpack to 6 GB, in as many threads as there are: less than 300 MB on top."""
    content = bomb(6 << 30)
    assert 5e6 < len(content) < 8e6

    def answer(connection: socket.socket) -> None:
        head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
        connection.sendall(OK + head + content)

    with answering(answer) as url:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, url, str(threads)],
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 300.0


def test_a_large_answer_is_refused_at_once_and_by_name(server: FakeServer) -> None:
    """The next attempt would be the same; nothing is asked again."""
    server.replies(Reply(b" " * (bodies.MOST_BYTES + 1)))
    with session_to(server.url) as session:
        with pytest.raises(BadResponse, match="larger than 32 MiB unpacked") as caught:
            session.get(PATH, QUERY)
        assert session.requests_sent == 1
    assert (caught.value.endpoint, caught.value.params) == (PATH, QUERY)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"data": [1]}'),
        gzip.compress(b'{"data": ') + gzip.compress(b"[1]}"),
        gzip.compress(b'{"data": [1]}') + b"\0" * 100,
    ],
    ids="one two padded".split(" "),
)
@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_gzip_comes_in_several_forms(server: FakeServer, body: bytes, name: str) -> None:
    """Members one after the other make one body; padding behind the last one is none."""
    server.replies(Reply(body, headers={"Content-Encoding": name}))
    with session_to(server.url) as session:
        assert session.get(PATH, QUERY) == {"data": [1]}
    assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_a_page_of_many_pieces_is_whole(server: FakeServer) -> None:
    """Several megabytes, packed and not, come as they were sent."""
    page = {"data": [f"row {n} of {n * n}" for n in range(200_000)]}
    text = orjson.dumps(page)
    server.replies(Reply(gzip.compress(text, 1), headers={"Content-Encoding": "gzip"}), Reply(text))
    with session_to(server.url) as session:
        assert session.get(PATH, QUERY) == page
        assert session.get(PATH, QUERY) == page


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (b"{}", "br", "Content-Encoding: expected gzip or none, got 'br'"),
        (zlib.compress(b"{}"), "deflate", "got 'deflate'"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip", "got 'gzip, gzip'"),
        (gzip.compress(b"{}" * 999)[:-9], "gzip", "expected whole gzip"),
        (b"{}", "gzip", "expected gzip, got something else"),
    ],
)
def test_other_encodings_are_refused(
    server: FakeServer, body: bytes, encoding: str, said: str
) -> None:
    """Only gzip was asked for, and only gzip has a bound."""
    server.replies(Reply(body, headers={"Content-Encoding": encoding}))
    with session_to(server.url, policy=ONCE) as session, pytest.raises(BadResponse, match=said):
        session.get(PATH, QUERY)


def test_bodies_share_one_bound_and_never_wait_in_a_ring() -> None:
    """Beyond it one goes on, the other waits until that one has ended."""
    room = bodies.Room(10)
    order: list[str] = []
    started = threading.Event()

    def second() -> None:
        with room.share(Deadline(20.0)) as take:
            take(4)
            started.set()
            take(5)
            order.append("second goes on")

    with room.share(Deadline(20.0)) as take:
        thread = threading.Thread(target=second)
        take(5)
        take(6)  # the favoured one
        # Nothing is free: the other one waits with its first byte already.
        thread.start()
        assert not started.wait(0.1)
        take(30)
        order.append("first ends")
    thread.join(10)
    assert order == ["first ends", "second goes on"]
    with room.share(Deadline(0.1)) as one, room.share(Deadline(0.1)) as other:
        one(11)
        with pytest.raises(TimeoutError):
            other(1)
    with room.share(Deadline(0.1)) as take:
        take(10)  # all of it is free again


CONTENT = packed(b"Date,Code\n2024-01-04,13010\n")
KEY_OF_FILE = "x_202401.csv.gz"


def load(url: str, path: Path, size: int = len(CONTENT), timeouts: Timeouts = BRIEF) -> None:
    with session_to(url, policy=RetryPolicy(attempts=2), timeouts=timeouts) as session:
        download(session, BulkFile(KEY_OF_FILE, "2024-01", size, "x"), path)


def gives_url(connection: socket.socket) -> None:
    """Of a file on the same port."""
    host, port = connection.getsockname()[:2]
    body = orjson.dumps({"url": f"http://{host}:{port}/file"})
    connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def test_an_endless_download_ends_at_its_announced_size(tmp_path: Path) -> None:
    """One byte more proves that it is not the file; nothing stays on the disk."""
    sizes = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK + b"\r\n")
        for _ in range(100_000):
            connection.sendall(b"x" * 65536)

    unlink = Path.unlink

    def noted(path: Path, missing_ok: bool = False) -> None:
        sizes.append(path.stat().st_size)
        unlink(path, missing_ok)

    with answering(gives_url, answer) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", noted)
        with pytest.raises(BadResponse, match="size: expected 30 bytes, got more"):
            load(url, tmp_path / "x.csv.gz", size=30)
    assert sizes == [31, 31]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [drips_header_bytes, drips_body])
def test_a_download_that_drips_ends_at_its_deadline(answer: Answer, tmp_path: Path) -> None:
    """The usual time, and the file's bytes at the slowest rate on top."""
    timeouts = Timeouts(read_s=1.0, total_s=0.3, slowest_bytes_per_s=200_000)
    with answering(gives_url, answer) as url:
        began = time.monotonic()
        with pytest.raises(ApiError, match=r"file not complete within 0\.8 s"):
            load(url, tmp_path / "x.csv.gz", 100_000, timeouts)
        assert time.monotonic() - began < 2 * 0.8 + 5.0


def test_a_large_file_has_more_time_than_a_page(tmp_path: Path) -> None:
    """It comes slowly but well above the slowest rate, longer than a page may take."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT))
        for byte in CONTENT:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    timeouts = Timeouts(read_s=5.0, total_s=0.2, slowest_bytes_per_s=len(CONTENT) / 20)
    with answering(gives_url, answer) as url:
        load(url, tmp_path / "x.csv.gz", timeouts=timeouts)
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT


def test_a_file_that_unpacks_beyond_measure_is_refused(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand bytes that make millions; a small file may make whatever is small."""
    content = packed(b"Date,Code\n" * 400_000)
    server.script = lambda request: (
        Reply(content) if request.path == "/file" else Reply({"url": f"{server.url}/file"})
    )
    load(server.url, tmp_path / "small.csv.gz", len(content))
    monkeypatch.setattr(bulk, "_SMALL_BYTES", 1 << 20)
    with pytest.raises(BadResponse, match="content: expected at most 1 MiB unpacked, got more"):
        load(server.url, tmp_path / "x.csv.gz", len(content))
    assert [path.name for path in tmp_path.iterdir()] == ["small.csv.gz"]


def redirecting(server: FakeServer, targets: Iterable[str]) -> None:
    """The file is behind ``targets``, one after the other."""
    steps = iter(targets)

    def script(request):
        if request.path == "/bulk/get":
            return Reply({"url": f"{server.url}/file"})
        target = next(steps, None)
        return Reply(CONTENT) if target is None else Reply(b"", 302, {"Location": target})

    server.script = script


def test_redirects_on_this_machine_are_followed_without_the_key(
    server: FakeServer, tmp_path: Path
) -> None:
    """Relative and whole addresses, while the API itself is on this machine."""
    redirecting(server, ["/elsewhere", f"{server.url}/there", "other?X-Amz-Signature=s"])
    load(server.url, tmp_path / "x.csv.gz")
    assert (tmp_path / "x.csv.gz").read_bytes() == CONTENT
    asked = [request.path for request in server.requests]
    assert asked == ["/bulk/get", "/file", "/elsewhere", "/there", "/other"]
    assert all("x-api-key" not in request.headers for request in server.requests[1:])


@pytest.mark.parametrize(
    "target",
    ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/hostname", "//example.org/x"],
)
def test_redirects_keep_the_rules_of_the_first_url(
    server: FakeServer, tmp_path: Path, target: str
) -> None:
    """Https, or http on this machine; nothing is sent to the other host."""
    redirecting(server, repeat(target))
    with pytest.raises(ApiError, match="download URL: expected https"):
        load(server.url, tmp_path / "x.csv.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["http://[bad", "/\xff"])
def test_redirects_to_no_url_are_refused(server: FakeServer, tmp_path: Path, target: str) -> None:
    """An error of the library would end a run that has another route."""
    redirecting(server, repeat(target))
    with pytest.raises(ApiError, match="download URL: expected a URL in a redirect"):
        load(server.url, tmp_path / "x.csv.gz")


def test_the_body_of_a_redirect_is_not_read(server: FakeServer, tmp_path: Path) -> None:
    """The HTTP library would unpack all of it, also where it is not to follow."""
    content = bomb(64 << 20)
    headers = {"Location": "/elsewhere", "Content-Encoding": "gzip"}
    server.script = lambda request: (
        Reply({"url": f"{server.url}/file"})
        if request.path == "/bulk/get"
        else Reply(content, 302, headers)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ApiError, match="more than 3 redirects"):
            load(server.url, tmp_path / "x.csv.gz")
        with session_to(server.url, policy=ONCE) as session, pytest.raises(BadResponse):
            session.get(PATH, QUERY)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_redirects_end(server: FakeServer, tmp_path: Path) -> None:
    """Three are followed; the URL is tried twice, as after a break, and then a new one."""
    redirecting(server, repeat("/file"))
    with pytest.raises(ApiError, match="more than 3 redirects"):
        load(server.url, tmp_path / "x.csv.gz")
    assert len(server.requests) == 2 + 3 * 4


REAL, HERE = "https://api.jquants.com/v2", "http://127.0.0.1:9/v2"


@pytest.mark.parametrize(
    ("url", "api", "good"),
    [
        ("https://bucket.s3.ap-northeast-1.amazonaws.com/x?X-Amz-Signature=s", REAL, True),
        ("https://bucket.example.org/x", HERE, True),
        ("http://127.0.0.1:8000/x", HERE, True),
        ("https://localhost/x", HERE, True),
        ("https://10.0.0.7/x", HERE, True),
        ("https://10.0.0.7/x", "https://10.0.0.7/v2", True),
        ("https://8.8.8.8/x", REAL, True),
        ("http://127.0.0.1:8000/x", REAL, False),
        ("https://127.0.0.1:8000/x", REAL, False),
        ("https://localhost/x", REAL, False),
        ("https://localhost./x", REAL, False),
        ("https://a.localhost/x", REAL, False),
        ("https://[::1]/x", REAL, False),
        ("https://[::ffff:127.0.0.1]/x", REAL, False),
        ("https://0.0.0.0/x", REAL, False),
        ("https://169.254.169.254/latest/meta-data", REAL, False),
        ("https://2852039166/latest/meta-data", REAL, False),
        ("https://0xa9fea9fe/latest/meta-data", REAL, False),
        ("https://169.254.0xA9FE/latest/meta-data", REAL, False),
        ("https://169.254.169.254./latest/meta-data", REAL, False),
        ("https://\uff11\uff16\uff19.254.169.254/latest/meta-data", REAL, False),
        ("https://127.1/x", REAL, False),
        ("https://bucket.7.example.org/x", REAL, True),
        ("https://10.0.0.7/x", REAL, False),
        ("https://10.0.0.8/x", "https://10.0.0.7/v2", False),
        ("http://bucket.example.org/x", REAL, False),
        ("http://bucket.example.org/x", HERE, False),
        ("ftp://127.0.0.1/x", HERE, False),
        ("https:///x", REAL, False),
        ("https://[::1/x", REAL, False),
        ("https://good.example\\@127.0.0.1/x", REAL, False),
    ],
)
def test_where_files_may_come_from(url: str, api: str, good: bool) -> None:
    """Https from public hosts; this machine only for an API that is on it."""
    assert (file_transfer._fault(url, api) == "") is good
