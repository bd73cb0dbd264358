"""Two S3 servers of this machine: moto, and the gateway of JuiceFS over a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.filesystem import location

_START_S = 60.0
SECRET = "s3-secret-of-the-tests"  # noqa: S105  (of a server on this machine)


@dataclass
class ObjectStore:
    """A running server with one bucket, ``market``.

    Attributes:
        environment: by which clients find it; the libraries' own names.
    """

    command: list[str]
    folder: Path
    port: int
    more: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "s3-user-of-the-tests",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The gateway knows no checksums behind a body.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=os.environ | self.more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not _listens(self.port):
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the object store does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def make_bucket(self) -> None:
        import botocore.session

        given = self.environment
        client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=given["AWS_ENDPOINT_URL"],
            region_name=given["AWS_DEFAULT_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
        )
        try:
            client.create_bucket(Bucket="market")
        finally:
            client.close()


@contextmanager
def moto(folder: Path) -> Iterator[ObjectStore]:
    """A server that keeps all in memory."""
    port = _free_port()
    program = str(Path(sys.executable).with_name("moto_server"))
    with _running(ObjectStore([program, "-H", "127.0.0.1", "-p", str(port)], folder, port)) as it:
        yield it


@contextmanager
def gateway(folder: Path) -> Iterator[ObjectStore]:
    """A server that keeps all in a folder, so that it may be killed and started again."""
    port, metrics = _free_port(), _free_port()
    program = str(Path(sys.executable).with_name("juicefs"))
    meta = f"sqlite3://{folder}/meta.db"
    subprocess.run(
        [program, "format", "--storage", "file", "--bucket", f"{folder}/data/", meta, "market"],
        check=True,
        capture_output=True,
    )
    command = [
        *(program, "gateway", "--no-banner", "--no-usage-report", "--multi-buckets"),
        *("--metrics", f"127.0.0.1:{metrics}", "--cache-dir", f"{folder}/cache"),
        *(meta, f"127.0.0.1:{port}"),
    ]
    users = {"MINIO_ROOT_USER": "s3-user-of-the-tests", "MINIO_ROOT_PASSWORD": SECRET}
    with _running(ObjectStore(command, folder, port, users)) as it:
        yield it


@contextmanager
def used(store: ObjectStore, host: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as a client of a store, and as a machine of its own."""
    for name, value in {**store.environment, "G5_HOST_DIR": str(host)}.items():
        patch.setenv(name, value)
    _forget_clients()
    yield
    _forget_clients()


def _forget_clients() -> None:
    """Clients are kept by their options, which say nothing about the environment."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    location._remote.cache_clear()


@contextmanager
def _running(store: ObjectStore) -> Iterator[ObjectStore]:
    store.start()
    try:
        store.make_bucket()
        yield store
    finally:
        assert store.process is not None
        if store.process.poll() is None:
            store.process.kill()
            store.process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
