"""Faults inside a body: well delivered, but not what was promised."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.simulator.delivery.http_exchange import JSON

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from pipeline.simulator.delivery.http_exchange import Answer

ADDED_FIELD: Final = "SimulatedField"


def _invalid_json(answer: Answer, _stream: Random, _field: str | None) -> Answer | None:
    if answer.content_type != JSON:
        return None
    text = _plain(answer)
    return _with_text(answer, text[: len(text) * 2 // 3])


def _truncated_gzip(answer: Answer, _stream: Random, _field: str | None) -> Answer | None:
    if not answer.packed and answer.content_type == JSON:
        return None
    return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])


def _wrong_type(answer: Answer, stream: Random, field: str | None) -> Answer | None:
    """A number becomes text, anything else an object: no reader can take it for a value."""

    def change(rows: list[dict[str, Any]]) -> bool:
        row = stream.choice(rows)
        name = _pick(row, stream, field)
        if name is None or row[name] is None:
            return False
        row[name] = "?" if isinstance(row[name], int | float) else {"value": row[name]}
        return True

    return _with_rows(answer, change)


def _vanished_field(answer: Answer, stream: Random, field: str | None) -> Answer | None:
    def change(rows: list[dict[str, Any]]) -> bool:
        name = _pick(rows[0], stream, field)
        if name is None:
            return False
        for row in rows:
            row.pop(name, None)
        return True

    return _with_rows(answer, change)


def _added_field(answer: Answer, _stream: Random, _field: str | None) -> Answer | None:
    def change(rows: list[dict[str, Any]]) -> bool:
        for row in rows:
            row[ADDED_FIELD] = 1.0
        return True

    return _with_rows(answer, change)


def _duplicate_row(answer: Answer, _stream: Random, _field: str | None) -> Answer | None:
    """The last row of the page before comes again."""
    before = answer.page.before
    if before is None:
        return None

    def change(rows: list[dict[str, Any]]) -> bool:
        rows.insert(0, orjson.loads(before)["data"][-1])
        return True

    return _with_rows(answer, change)


def _repeated_key(answer: Answer, _stream: Random, _field: str | None) -> Answer | None:
    """A page names itself as the next one."""
    body = _loaded(answer)
    if body is None or answer.page.key is None or "pagination_key" not in body:
        return None
    return _with_text(answer, orjson.dumps(body | {"pagination_key": answer.page.key}))


DISTORTIONS: Final[dict[str, Callable[[Answer, Random, str | None], Answer | None]]] = {
    "invalid-json": _invalid_json,
    "wrong-type": _wrong_type,
    "vanished-field": _vanished_field,
    "added-field": _added_field,
    "duplicate-row": _duplicate_row,
    "repeated-key": _repeated_key,
    "truncated-gzip": _truncated_gzip,
}


def _pick(row: dict[str, Any], stream: Random, field: str | None) -> str | None:
    if field is not None:
        return field if field in row else None
    filled = [name for name, value in row.items() if value is not None]
    return stream.choice(filled) if filled else None


def _with_rows(answer: Answer, change: Callable[[list[dict[str, Any]]], bool]) -> Answer | None:
    """The answer with its rows changed in place; None when it has none, or nothing changed."""
    body = _loaded(answer)
    if body is None or not body.get("data") or not change(body["data"]):
        return None
    return _with_text(answer, orjson.dumps(body))


def _loaded(answer: Answer) -> dict[str, Any] | None:
    if answer.content_type != JSON:
        return None
    body: dict[str, Any] = orjson.loads(_plain(answer))
    return body


def _plain(answer: Answer) -> bytes:
    return gzip.decompress(answer.body) if answer.packed else answer.body


def _with_text(answer: Answer, text: bytes) -> Answer:
    return replace(answer, body=gzip.compress(text, 1, mtime=0) if answer.packed else text)
