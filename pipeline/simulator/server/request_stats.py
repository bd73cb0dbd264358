"""What clients asked, for tests that count requests."""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.simulator.delivery.http_exchange import Answer, Request

_KEPT_REQUESTS = 20_000


class Stats:
    """Counters of one server; downloads of files are counted apart, as the API does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._paths: Counter[str] = Counter()
        self._files: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._faults: Counter[str] = Counter()
        self._bytes = 0
        self._recent: deque[dict[str, object]] = deque(maxlen=_KEPT_REQUESTS)

    def count_request(self, request: Request, answer: Answer) -> None:
        """A request to the API."""
        entry: dict[str, object] = {
            "path": request.endpoint,
            "query": request.query,
            "status": answer.status,
        }
        if answer.fault is not None:
            entry["fault"] = answer.fault
        with self._lock:
            self._paths[request.endpoint] += 1
            self._statuses[answer.status] += 1
            self._recent.append(entry)
            self._count_answer(answer)

    def count_download(self, key: str, answer: Answer) -> None:
        """A download of a file, which is outside the API."""
        with self._lock:
            self._files[key] += 1
            self._count_answer(answer)

    def _count_answer(self, answer: Answer) -> None:
        self._bytes += len(answer.body)
        if answer.fault is not None:
            self._faults[answer.fault] += 1

    def snapshot(self) -> dict[str, object]:
        """Everything counted so far.

        ``total``, ``paths``, ``statuses`` (0: no answer) and the latest ``requests`` are those of
        the API; ``files`` counts downloads by key; ``bytes`` sent and ``faults`` injected, by
        kind, are those of both.
        """
        with self._lock:
            return {
                "total": self._paths.total(),
                "paths": dict(self._paths),
                "statuses": {str(status): n for status, n in self._statuses.items()},
                "files": dict(self._files),
                "faults": dict(self._faults),
                "bytes": self._bytes,
                "requests": list(self._recent),
            }
