"""The list of bulk files as it came: which forms of keys, sizes and times a server uses.

``bulk.list_files`` takes what it can use; this counts all there is, without any judgement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.api.catalogue.endpoints import Endpoint
from pipeline.api.decode.examine import name_of, shape, type_of

_WORDS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]")
_KNOWN_WORDS = frozenset(("historical", "live", "premium", "csv", "gz", "bulk", "v2"))
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_HTTP = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


@dataclass(frozen=True)
class ListShapes:
    """Forms in one page of a list, each with how often it was met.

    Attributes:
        entries: objects in the list.
        keys: shapes of keys; words of the path stay, a year is ``9{4}``.
        folders: entries whose key ends in a slash.
        sizes: JSON types of ``Size``; ``absent`` is one.
        modified: ``iso``, ``http``, ``absent``, ``null`` or the shape of ``LastModified``.
        others: names of further keys.
        pages: whether the list goes on.
    """

    entries: int
    keys: Mapping[str, int]
    folders: int
    sizes: Mapping[str, int]
    modified: Mapping[str, int]
    others: Mapping[str, int]
    pages: bool


def shapes_of(endpoint: Endpoint, page: Mapping[str, Any]) -> ListShapes:
    """The forms in one page of the list of an endpoint's files; none of what is no object."""
    data = page.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    keys = [str(entry.get("Key", "")) for entry in entries]
    known = _KNOWN_WORDS | set(re.findall("[a-z]+", endpoint.path))
    return ListShapes(
        entries=len(entries),
        keys=Counter(_key_shape(key, known) for key in keys),
        folders=sum(key.endswith("/") for key in keys),
        sizes=Counter(type_of(entry["Size"]) if "Size" in entry else "absent" for entry in entries),
        modified=Counter(_time_shape(entry) for entry in entries),
        others=Counter(
            name_of(name)
            for entry in entries
            for name in entry
            if name not in ("Key", "Size", "LastModified")
        ),
        pages=bool(page.get("pagination_key")),
    )


def _key_shape(key: str, known: frozenset[str]) -> str:
    words = _WORDS.findall(key[:200])
    return "".join(word if word in known else shape(word) for word in words)


def _time_shape(entry: Mapping[str, Any]) -> str:
    if "LastModified" not in entry:
        return "absent"
    moment = entry["LastModified"]
    if not isinstance(moment, str):
        return type_of(moment)
    if _ISO.fullmatch(moment):
        return "iso"
    return "http" if _HTTP.fullmatch(moment) else shape(moment)
