"""The number of chunk builds a host does at a time, by its memory and cores.

Luigi's resources are counted over all hosts of a scheduler: a limit of eight builds may put all
eight on one host. Only the number of task processes is a limit of one host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Peak of one chunk build of the whole market, see benchmarks/chunk.py.
BUILD_BYTES = int(3.2 * 2**30)

_SYSTEM_BYTES = 2**30  # for the system and the main process
_GROUP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Capacity:
    """Builds at a time, and why so many, in words."""

    builds: int
    why: str


def of_host(threads: int) -> Capacity:
    """The capacity of this host, or of the container this process is confined to.

    Args:
        threads: of one build.
    """
    return capacity_of(cores(), memory(), threads)


def capacity_of(cores: int, memory: int, threads: int) -> Capacity:
    """As many builds as have cores and memory; one at least.

    Args:
        memory: in bytes.
        threads: of one build.
    """
    by_cores = cores // threads
    by_memory = max(memory - _SYSTEM_BYTES, 0) // BUILD_BYTES
    builds = max(min(by_cores, by_memory), 1)
    why = (
        f"{cores} cores at {threads} each hold {by_cores}, {memory / 2**30:.1f} GiB at "
        f"{BUILD_BYTES / 2**30:.1f} GiB each and 1 GiB for the system hold {by_memory}"
    )
    short = " (too little for the whole market)" if by_memory == 0 else ""
    return Capacity(builds, f"{why}{short}")


def cores() -> int:
    """Cores that this process may use."""
    limits = [len(os.sched_getaffinity(0))]
    for limit in _limits("cpu.max"):
        quota, _, period = limit.partition(" ")
        limits += [int(quota) // int(period)] if quota.isdigit() else []
    return max(min(limits), 1)


def memory() -> int:
    """Bytes that this process and its children may use."""
    limits = [int(limit) for limit in _limits("memory.max") if limit.isdigit()]
    return min([int(psutil.virtual_memory().total), *limits])


def _limits(name: str) -> Iterator[str]:
    """A limit of control groups v2 on this process: its own group and all above."""
    try:
        group = _GROUP.read_text("ascii").strip().rpartition("::")[2].strip("/")
    except OSError:
        return
    own = _GROUPS / group
    for folder in (own, *own.parents):
        if folder.is_relative_to(_GROUPS):
            with suppress(OSError):
                yield (folder / name).read_text("ascii").strip()
