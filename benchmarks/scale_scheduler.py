"""What luigid answers: how fast for one client, and how many calls a second for many.

The state is that of a run: chunks that depend on the sources fetched before. A client goes round
as a worker does: it gets a chunk, tells its progress, reports it done; then the chunk is put back,
so that luigid always has as much to look through. Clients are threads of one process and take turns
at its interpreter: where luigid is not busy all the time, it could have answered more.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scale_cluster import Luigid, luigid
from scale_worker import TimedScheduler


@dataclass(frozen=True)
class Answers:
    """What a number of clients saw.

    Attributes:
        per_s: calls a second, all clients together.
        busy: share of one core that luigid used.
        median_s: of a call, by name.
    """

    clients: int
    per_s: float
    busy: float
    median_s: Mapping[str, float]

    def line(self) -> str:
        """For people."""
        told = ", ".join(
            f"{name} {1000 * value:.1f} ms" for name, value in sorted(self.median_s.items())
        )
        rate = f"{self.per_s:.0f} calls/s, busy {self.busy:.0%}"
        return f"luigid, {self.clients} clients: {rate}; {told}"


def measure(folder: Path, clients: int, chunks: int, sources: int, seconds: float) -> Answers:
    """Have clients call as fast as they can for so many seconds."""
    folder.mkdir(parents=True)
    with luigid(folder) as central:
        _prepare(central, chunks, sources)
        schedulers = [TimedScheduler(central.url) for _ in range(clients)]
        cpu_s, began = central.cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            under_way = [
                pool.submit(_call, scheduler, f"client-{number}", sources, began + seconds)
                for number, scheduler in enumerate(schedulers)
            ]
            for client in under_way:
                client.result()
        took = time.perf_counter() - began
        busy = (central.cpu_s() - cpu_s) / took
    calls: dict[str, list[float]] = defaultdict(list)
    for scheduler in schedulers:
        for name, values in scheduler.seconds.items():
            calls[name] += values
    medians = {name: statistics.median(values) for name, values in calls.items()}
    return Answers(clients, sum(map(len, calls.values())) / took, busy, medians)


def _call(calls: TimedScheduler, name: str, sources: int, deadline: float) -> None:
    """One chunk after the other until the deadline."""
    while time.perf_counter() < deadline:
        calls.ping(worker=name)
        given = calls.get_work(worker=name, host="host", assistant=True, current_tasks=[])
        task = given["task_id"]
        if task is None:  # more clients than chunks
            continue
        for percent in (50, 100):
            calls.set_task_progress_percentage(task_id=task, progress_percentage=percent)
            calls.set_task_status_message(task_id=task, status_message=f"{percent} of 100")
        calls.add_task(worker=name, task_id=task, status="DONE", assistant=True)
        _add_chunk(calls, "leader", task, sources)


def _prepare(central: Luigid, chunks: int, sources: int) -> None:
    """The state of a run that has fetched everything and built nothing."""
    calls = TimedScheduler(central.url)
    for number in range(sources):
        calls.add_task(worker="leader", task_id=f"source-{number}", status="DONE", family="Source")
    for number in range(chunks):
        _add_chunk(calls, "leader", f"chunk-{number}", sources)


def _add_chunk(calls: TimedScheduler, worker: str, task: str, sources: int) -> None:
    calls.add_task(
        worker=worker,
        task_id=task,
        status="PENDING",
        family="Chunk",
        deps=[f"source-{number}" for number in range(sources)],
        params={"number": task},
        priority=int(task.rpartition("-")[2]),
        runnable=True,
    )
