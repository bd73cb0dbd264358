"""Requests at a time, as a number that changes meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from pipeline.api.http.concurrency import Lanes


class Traffic:
    """Threads that each hold a lane until they are let go."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._go = threading.Semaphore(0)
        self._count = threading.Lock()
        self.inside = 0

    def drive(self) -> None:
        with self._lanes.one():
            with self._count:
                self.inside += 1
            self._go.acquire()
            with self._count:
                self.inside -= 1

    def let_go(self, number: int) -> None:
        self._go.release(number)

    def settle(self, expected: int) -> int:
        """How many are inside once as many as expected are, or none more have come for a while."""
        deadline = time.monotonic() + 10
        while self.inside != expected and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        return self.inside


def test_lanes_are_opened_and_closed_while_threads_wait() -> None:
    """More at once, fewer as those under way end, and everyone gets through."""
    lanes = Lanes(2)
    traffic = Traffic(lanes)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(traffic.drive)
        assert traffic.settle(2) == 2
        lanes.resize(5)
        assert traffic.settle(5) == 5
        lanes.resize(1)
        assert traffic.settle(5) == 5
        traffic.let_go(4)
        assert traffic.settle(1) == 1
        traffic.let_go(4)
        assert traffic.settle(0) == 0
