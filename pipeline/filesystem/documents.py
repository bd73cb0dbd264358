"""JSON documents of the output tree, each held against its JSON Schema when written and read.

The schemas are data, in ``schema/<kind>.schema.json``. What is on disk is therefore either a
valid document or an error that names the path, what is wrong and what to do about it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from pipeline.errors import DamagedFile, MissingData, StorageError
from pipeline.filesystem import atomic
from pipeline.filesystem.location import read_bytes

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator
    from jsonschema_rs import Draft202012Validator as QuickValidator

Kind = Literal[
    "status",
    "metadata",
    "dataset_metadata",
    "manifest",
    "validation",
    "report",
    "report_facts",
    "snapshot",
    "rebuild",
    "labels",
    "training",
    "run",
    "dataset_quality",
    "alerts",
    "progress",
    "announcement",
    "account",
    "rechecks",
]

_SHOWN = 5  # violations named in one message
_SHOWN_CHARACTERS = 160  # of each: the text may quote a whole document

_REMEDY: dict[str, str] = {
    "status": "the chunk counts as not complete; the next run builds it again",
    "metadata": "request a rebuild of the chunk: g5 rebuild",
    "dataset_metadata": "merge again: g5 merge-chunks",
    "manifest": "restore the file or write it again with g5 regenerate-manifest",
    "validation": "delete it; the next run validates again",
    "report": "delete it; the next BuildReport or g5 report makes a new report",
    "report_facts": "delete it; the next report then measures every chunk anew",
    "snapshot": "delete it; the next run lists or fetches its parts again",
    "rebuild": "delete it or request the rebuild again: g5 rebuild",
    "labels": "delete it; the next BuildLabels makes all labels anew",
    "training": "delete it; the next BuildLabels --joined-view writes it and its data again",
    "run": "delete it; nothing but this run's record is lost",
    "dataset_quality": "delete it; g5 check-dataset writes it again",
    "alerts": "delete it; what is open is told once more",
    "progress": "delete it; the running task writes it again",
    "announcement": "delete it; the next run on a central scheduler writes it again",
    "account": "delete it; the next run finds the plan out again",
    "rechecks": "delete it; the next run that fetches lists the files again",
}


def read_document(path: Path, kind: Kind) -> dict[str, Any]:
    """Read a document and check it.

    Raises:
        MissingData: there is no such file.
        DamagedFile: it is empty, truncated or another kind of document.
        StorageError: it cannot be read.
    """
    return parse_document(_content(path, kind), path, kind)


def parse_document(content: bytes, path: Path, kind: Kind) -> dict[str, Any]:
    """Check the content of a file already read; ``path`` is for the message.

    Raises:
        DamagedFile: it is empty, truncated or another kind of document.
    """
    if not content.strip():
        raise DamagedFile(f"{kind} file {path}: is empty", _REMEDY[kind])
    try:
        document = _parsed(content)
    except ValueError as error:
        raise DamagedFile(
            f"{kind} file {path}: is not JSON, perhaps cut off: {error}", _REMEDY[kind]
        ) from error
    _check(document, path, kind)
    checked: dict[str, Any] = document
    return checked


def write_document(path: Path, kind: Kind, document: Mapping[str, Any]) -> None:
    """Check a document and replace the file as a whole.

    Raises:
        StorageError: the document breaks its schema (nothing is written), or the file system
            refused.
    """
    atomic.write_bytes(path, encode_document(path, kind, document))


def encode_document(path: Path, kind: Kind, document: Mapping[str, Any]) -> bytes:
    """The checked text of a document; ``path`` is for the message.

    Raises:
        StorageError: the document breaks its schema.
    """
    try:
        content = atomic.json_bytes(document)
    except (TypeError, ValueError) as error:
        raise StorageError(f"{kind} file {path}: cannot be written as JSON: {error}") from error
    # What will be read back is checked: a tuple, for one, comes back as a list.
    _check(json.loads(content), path, kind)
    return content


@cache
def schema_folder() -> Path:
    """Where the schemas are: beside the package in a checkout, or installed with it.

    Raises:
        StorageError: neither place has them.
    """
    beside = Path(__file__).resolve().parents[2] / "schema"
    installed = Path(sys.prefix) / "share" / "g5" / "schema"
    for folder in (beside, installed):
        if (folder / "status.schema.json").is_file():
            return folder
    raise StorageError(
        f"schema folder: not found, neither {beside} nor {installed}",
        "install the package again or run from a complete checkout",
    )


def _content(path: Path, kind: Kind) -> bytes:
    try:
        with atomic.os_errors(path, "cannot be read"):
            return read_bytes(path)
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise MissingData(f"{kind} file {path}: does not exist", _REMEDY[kind]) from error
        raise


def _parsed(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none; the standard library says best where and why.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content, parse_constant=_no_constant)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


@cache
def _quick_validator(kind: str) -> QuickValidator:
    """What says yes or no, a hundred times faster than ``_validator`` finds no error."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(_schema(kind), validate_formats=True)


@cache
def _validator(kind: str) -> Validator:
    """What names the errors; imported when a document has one."""
    from jsonschema import Draft202012Validator

    schema = _schema(kind)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _schema(kind: str) -> dict[str, Any]:
    if kind not in get_args(Kind):
        raise StorageError(f"document kind {kind!r}: expected one of {', '.join(get_args(Kind))}")
    path = schema_folder() / f"{kind}.schema.json"
    with atomic.os_errors(path, "cannot be read"):
        schema: dict[str, Any] = json.loads(path.read_bytes())
    return schema


def _check(document: Any, path: Path, kind: Kind) -> None:
    if _quick_validator(kind).is_valid(document):
        return
    errors = list(islice(_validator(kind).iter_errors(document), _SHOWN + 1))
    if not errors:
        return
    shown = "; ".join(_line(error) for error in errors[:_SHOWN])
    more = "; and more" if len(errors) > _SHOWN else ""
    raise DamagedFile(f"{kind} file {path}: does not fit its schema: {shown}{more}", _REMEDY[kind])


def _line(error: ValidationError) -> str:
    """One violation as ``$.path: what is wrong``, of alternatives the one that came nearest."""
    from jsonschema.exceptions import best_match

    nearest = best_match([error]) or error
    text = nearest.message
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[: _SHOWN_CHARACTERS // 2]} ... {text[-_SHOWN_CHARACTERS // 2 :]}"
    return f"{nearest.json_path}: {text}"
