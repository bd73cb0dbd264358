"""A scripted server of bulk files: list, one-time URLs, ranges; and rows as the files write them."""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.catalogue.fields import Field
from tests.api.fakes import FakeServer, Reply, Request

EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


def wire_value(item: Field) -> Any:
    """A plain value of a field: of a closed list its first member, of a code one of its width."""
    if item.members:
        return item.members[-1] if item.kind == "flag" else item.members[0]
    if item.clock:
        return "15:30" if item.clock == "HH:MM" else "15:30:00"
    if item.width:
        return "50".zfill(item.width) if item.width > 1 else "1"
    return {"text": "0050", "date": "2024-01-16", "number": 12.5}[item.kind]


def wire_row(endpoint: Endpoint, **changed: Any) -> dict[str, Any]:
    """A row with every field, missing-looking values aside."""
    row: dict[str, Any] = {}
    for item in endpoint.fields:
        if item.inner:
            row.setdefault(item.outer, {})[item.inner] = wire_value(item)
        else:
            row[item.name] = wire_value(item)
    return row | changed


def as_csv(endpoint: Endpoint, rows: list[dict[str, Any]], *, nested_as_json: bool = True) -> bytes:
    """Rows as a bulk file: no restated prices, blank for null."""
    flat = [_flat(row, nested_as_json=nested_as_json) for row in rows]
    dropped = {item.name for item in endpoint.fields if not item.kept}
    names = [name for name in flat[0] if name not in dropped]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def _flat(row: dict[str, Any], *, nested_as_json: bool) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if not isinstance(value, dict):
            flat[name] = "" if value is None else value
        elif nested_as_json:
            flat[name] = orjson.dumps(value).decode()
        else:
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
    return flat


@dataclass
class BulkServer:
    """The script of a ``FakeServer``.

    Attributes:
        files: content by key.
        sizes: listed sizes that differ from the true ones.
        cuts: of the next downloads: bytes after which the connection is reset, None for all.
        ranges: whether parts are served.
        uses: how often a URL works.
    """

    server: FakeServer
    files: dict[str, bytes]
    sizes: dict[str, int] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    ranges: bool = True
    uses: int = 1
    _used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server.script = self._answer

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.server.requests)

    @property
    def downloads(self) -> list[Request]:
        return [request for request in self.server.requests if request.path.startswith("/store/")]

    def _answer(self, request: Request) -> Reply:
        if request.path == "/bulk/list":
            return Reply({"data": [self._entry(key) for key in sorted(self.files)]})
        if request.path == "/bulk/get":
            return Reply({"url": self._new_url(request.query["key"])})
        return self._file(request)

    def _entry(self, key: str) -> dict[str, Any]:
        size = self.sizes.get(key, len(self.files[key]))
        return {"Key": key, "LastModified": "2024-02-01T20:48:51.295000+00:00", "Size": size}

    def _new_url(self, key: str) -> str:
        token = f"token{self.count('/bulk/get')}"
        return f"{self.server.url}/store/{key}?X-Amz-Signature={token}"

    def _file(self, request: Request) -> Reply:
        token = request.query["X-Amz-Signature"]
        self._used[token] = self._used.get(token, 0) + 1
        if self._used[token] > self.uses:
            return Reply(EXPIRED, 403)
        content = self.files[request.path.removeprefix("/store/")]
        cut = self.cuts.pop(0) if self.cuts else None
        headers = {"ETag": '"v1"', "Content-Type": "application/gzip"}
        part = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if part is None or not self.ranges:
            return Reply(content, headers=headers, cut=cut)
        start = int(part[1])
        if start >= len(content):
            return Reply(b"", 416)
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Reply(content[start:], 206, headers=headers, cut=cut)
