"""One worker process of the simulated cluster; ``scale_cluster`` starts it.

    python scale_worker.py '{"url": ..., "name": ..., "folder": ..., "report": ..., ...}'

Luigi's own worker and client. Its client keeps the time of every call for the report. A helper is
an assistant with an idle root and leaves on SIGUSR1; the leader brings the chunks and leaves when
the dataset is there. Tasks run in the worker's own process: what they would do in theirs, they do
on a clock.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from luigi.rpc import RemoteScheduler
from luigi.worker import Worker
from scale_tasks import Dataset, Idle

_LAST_TASK_S = 30.0
_PR_SET_PDEATHSIG = 1


class TimedScheduler(RemoteScheduler):
    """Luigi's client; seconds of all calls by name."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def _request(self, url: str, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        answer = super()._request(url, *args, **kwargs)
        self.seconds[url.rpartition("/")[2]].append(time.perf_counter() - began)
        return answer


def main() -> int:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # never outlive the benchmark
    given = json.loads(sys.argv[1])
    scheduler = TimedScheduler(given["url"])
    job = given["job"]
    worker = Worker(
        scheduler=scheduler,
        worker_id=given["name"],
        worker_processes=1,
        assistant=job is None,
        keep_alive=True,
        check_complete_on_run=True,
        ping_interval=given["ping_s"],
        wait_interval=given["wait_s"],
        wait_jitter=given["jitter_s"],
    )
    began = time.time()
    root = Idle() if job is None else Dataset(**job, folder=given["folder"])
    with worker:
        worker.add(root)
        scheduled = time.time()
        worker.run()
    report = {"began": began, "scheduled": scheduled, "calls": scheduler.seconds}
    # The leader leaves when nothing is pending any more: a helper may still run the last task.
    deadline = time.monotonic() + _LAST_TASK_S
    while not (complete := root.complete()) and time.monotonic() < deadline:
        time.sleep(0.05)
    Path(given["report"]).write_text(json.dumps(report))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
