"""An object store of this machine behind a slow line.

    python benchmarks/slow_store.py 0.1

Run as a child by ``serving``; it prints its ports, answers every line with the number of requests
so far, and ends with its standard input. The store is moto, all in memory. The line is a proxy
that passes bytes on: answers at once, and what a client sends the given seconds later, in its
order. So each request waits once, one that asks for leave to send its body twice, and connections
do not wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
_METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")
_BLOCK = 1 << 16


@dataclass(frozen=True)
class SlowStore:
    """A running store.

    Attributes:
        process: of the store and the line.
        port: of the store itself.
        slow_port: of the line to it.
    """

    process: subprocess.Popen[str]
    port: int
    slow_port: int

    def environment(self, *, slow: bool) -> Mapping[str, str]:
        """By which clients find it; the libraries' own names."""
        port = self.slow_port if slow else self.port
        return {
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def requests(self) -> int:
        """That came over the line so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@contextmanager
def serving(delay_s: float) -> Iterator[SlowStore]:
    """An empty store; every request over the line waits ``delay_s``."""
    command = [sys.executable, str(Path(__file__).absolute()), str(delay_s)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) != 2:
            raise SystemExit("the object store did not start")
        yield SlowStore(process, *map(int, ports))  # leaving the block closes its standard input


class _Line:
    """The proxy.

    Attributes:
        requests: passed on so far.
    """

    def __init__(self, port: int, delay_s: float) -> None:
        self.requests = 0
        self._port = port
        self._delay_s = delay_s

    async def connect(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, from the client's first byte to the end of both directions."""
        answers, store = await asyncio.open_connection(HOST, self._port)
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        await asyncio.gather(
            self._hold(client, held), self._release(held, store), self._return(answers, back)
        )

    async def _hold(
        self, client: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"-"
        while data:
            data = await _read(client)
            self.requests += data.startswith(_METHODS)
            held.put_nowait((asyncio.get_running_loop().time() + self._delay_s, data))

    async def _release(
        self, held: asyncio.Queue[tuple[float, bytes]], store: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await held.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not data:
                break
            await _write(store, data)
        store.close()

    async def _return(self, answers: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await _read(answers):
            await _write(back, data)
        back.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What is there; nothing at the end, however that came."""
    try:
        return await reader.read(_BLOCK)
    except OSError:
        return b""


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):  # the other side learns it from its own end
        writer.write(data)
        await writer.drain()


async def _serve(port: int, delay_s: float) -> None:
    line = _Line(port, delay_s)
    server = await asyncio.start_server(line.connect, HOST, 0)
    print(port, server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(line.requests, flush=True)
    os._exit(0)  # connections that are open would be mourned one by one


def _main(delay_s: float) -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    asyncio.run(_serve(server.get_host_and_port()[1], delay_s))


if __name__ == "__main__":
    _main(float(sys.argv[1]))
