"""The agreed columns as typed objects: hash, check against a file's columns, difference.

Pure: nothing here reads a file or a clock. The JSON form is checked on its way in (``from_json``
refuses a manifest that contradicts itself); files are met in ``pipeline.filesystem.documents``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import pyarrow as pa

from pipeline.errors import SchemaMismatch, UsageError

Role = Literal["key", "feature", "label"]

HASH_STRATEGY = "sha256_ordered_v1"
KEYS = ("Date", "Code")
LABEL_PREFIX = "label_"  # names of labels, and of nothing else

# Names of our own entries in the metadata of an Arrow schema and its fields.
HASH_ENTRY = b"g5.schema_hash"
VERSION_ENTRY = b"g5.schema_version"
ROLE_ENTRY = b"role"

_ARROW_TYPES: dict[str, pa.DataType] = {
    "Int8": pa.int8(),
    "Int16": pa.int16(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Boolean": pa.bool_(),
    "String": pa.string(),
    "Date": pa.date32(),
    "Datetime": pa.timestamp("us"),
    "Categorical": pa.dictionary(pa.int32(), pa.string()),
}
DTYPES = tuple(_ARROW_TYPES)
_NAMES = {arrow: name for name, arrow in _ARROW_TYPES.items()} | {
    pa.large_string(): "String",
    pa.string_view(): "String",
    pa.date64(): "Date",
}
_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
# Both characters separate the parts of the hashed text: in a name they would make it ambiguous.
_NAME = re.compile(r"[^:;\s](?:[^:;\n]*[^:;\s])?")


@dataclass(frozen=True)
class Column:
    """One agreed column. Only name and dtype enter the schema hash.

    Attributes:
        name: column name, without ``:`` and ``;``.
        dtype: one of ``DTYPES``; for a foreign file also the Arrow name of an unknown type.
        nullable: whether the column may hold nulls.
        role: key, feature or label, as ``Role``; a label is never an input. Of a column found in
            a file also whatever stands there.
    """

    name: str
    dtype: str
    nullable: bool = True
    role: str = "feature"


@dataclass(frozen=True)
class Retyped:
    """A column whose dtype is not the expected one."""

    name: str
    expected: str
    found: str


@dataclass(frozen=True)
class Violations:
    """Every way in which found columns differ from the expected ones; falsy when there is none.

    Attributes:
        missing: expected columns that were not found.
        extra: found columns that are not expected, or stand there more than once.
        retyped: columns with another dtype.
        order: columns present on both sides that stand out of order, as found.
        roles: columns with another role, the role in place of the dtype.
    """

    missing: tuple[Column, ...] = ()
    extra: tuple[Column, ...] = ()
    retyped: tuple[Retyped, ...] = ()
    order: tuple[str, ...] = ()
    roles: tuple[Retyped, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.retyped or self.order or self.roles)

    def lines(self) -> tuple[str, ...]:
        """One readable line per offender; the columns out of order share one."""
        lines = [f"missing column {c.name!r} ({c.dtype})" for c in self.missing]
        lines += [f"extra column {c.name!r} ({c.dtype})" for c in self.extra]
        lines += [
            f"column {r.name!r}: expected dtype {r.expected}, found {r.found}" for r in self.retyped
        ]
        lines += [
            f"column {r.name!r}: expected role {r.expected}, found {r.found}" for r in self.roles
        ]
        if self.order:
            shown = ", ".join(repr(name) for name in self.order[:5])
            more = f" and {len(self.order) - 5} more" if len(self.order) > 5 else ""
            lines.append(f"column order: {len(self.order)} out of place: {shown}{more}")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """The same facts for a report."""
        return {
            "missing": [c.name for c in self.missing],
            "extra": [c.name for c in self.extra],
            "retyped": [vars(r) for r in self.retyped],
            "order": list(self.order),
            "roles": [vars(r) for r in self.roles],
        }

    def raise_for(self, what: str, hint: str = "") -> None:
        """Raise unless there is nothing to say.

        Raises:
            SchemaMismatch: naming ``what`` (the file or chunk), with every line as an attribute.
        """
        if self:
            raise SchemaMismatch(what, self.lines(), hint)


@dataclass(frozen=True)
class Difference:
    """What a new list of columns changes against an old one; falsy when nothing does."""

    added: tuple[Column, ...] = ()
    removed: tuple[Column, ...] = ()
    retyped: tuple[Retyped, ...] = ()
    reordered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.retyped or self.reordered)

    def lines(self) -> tuple[str, ...]:
        """``+ added``, ``- removed``, ``~ retyped`` and one line for the reordered columns."""
        lines = [f"+ {c.name} ({c.dtype})" for c in self.added]
        lines += [f"- {c.name} ({c.dtype})" for c in self.removed]
        lines += [f"~ {r.name}: {r.expected} -> {r.found}" for r in self.retyped]
        if self.reordered:
            lines.append(f"~ order of {len(self.reordered)} columns")
        return tuple(lines)


@dataclass(frozen=True)
class Manifest:
    """The agreed columns with their version.

    Attributes:
        version: ``X.Y.Z``.
        generated_at: when it was made, ISO 8601 with offset.
        reference_file: what it was made from.
        columns: in file order.
    """

    version: str
    generated_at: str
    reference_file: str
    columns: tuple[Column, ...]

    @cached_property
    def schema_hash(self) -> str:
        return schema_hash(self.columns)

    @property
    def version_key(self) -> tuple[int, int, int]:
        """The version as numbers, so that 1.10.0 is later than 1.9.0."""
        major, minor, patch = self.version.split(".")
        return int(major), int(minor), int(patch)


def schema_hash(columns: Iterable[Column]) -> str:
    """First 16 hex digits of sha256 over ``name1:dtype1;name2:dtype2``, in file order."""
    text = ";".join(f"{c.name}:{c.dtype}" for c in columns)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dtype_name(dtype: pa.DataType) -> str:
    """The name a reader in Polars or pandas sees; for a type outside ``DTYPES`` Arrow's own."""
    if name := _NAMES.get(dtype):
        return name
    if pa.types.is_timestamp(dtype):
        return "Datetime"
    if pa.types.is_dictionary(dtype) and _NAMES.get(dtype.value_type) == "String":
        return "Categorical"
    return str(dtype)


def labels_among(columns: Iterable[Column]) -> tuple[str, ...]:
    """Names of the columns that are labels, by their role or by their name.

    A label knows the future of its row. Its role may have been lost on the way through another
    program, and a name alone proves nothing, so either is enough.
    """
    return tuple(c.name for c in columns if c.role == "label" or c.name.startswith(LABEL_PREFIX))


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """The columns of a file.

    Of one that states no role at all, another program wrote it, each column has the role its name
    suggests. Otherwise a column has the role that is stated, also one nobody knows, or ``none``.
    """
    stated = any(ROLE_ENTRY in (field.metadata or {}) for field in schema)
    return tuple(
        Column(
            field.name,
            dtype_name(field.type),
            bool(field.nullable),
            _stated_role(field) if stated else _default_role(field.name),
        )
        for field in schema
    )


def arrow_schema(columns: Sequence[Column], version: str) -> pa.Schema:
    """The schema a chunk is written with: roles in the fields, hash and version beside them.

    Raises:
        KeyError: a dtype outside ``DTYPES``.
    """
    fields = [
        pa.field(c.name, _ARROW_TYPES[c.dtype], c.nullable, metadata={ROLE_ENTRY: c.role.encode()})
        for c in columns
    ]
    return stamped(pa.schema(fields), version)


def stamped(schema: pa.Schema, version: str) -> pa.Schema:
    """The schema with hash and version, and nothing else, as its metadata."""
    own: dict[bytes | str, bytes | str] = {
        HASH_ENTRY: schema_hash(columns_of(schema)).encode(),
        VERSION_ENTRY: version.encode(),
    }
    return schema.with_metadata(own)


def check(columns: Sequence[Column], manifest: Manifest) -> Violations:
    """Compare the columns of a file with the manifest; everything wrong is reported together."""
    return compare(manifest.columns, columns)


def compare(expected: Sequence[Column], found: Sequence[Column]) -> Violations:
    """Every way in which ``found`` differs from ``expected``; nullability is not compared.

    Other writers mark all columns nullable, so only names, dtypes, order and roles are agreed.
    """
    wanted = {c.name: c for c in expected}
    there = {c.name: c for c in reversed(found)}
    both = [(wanted[name], there[name]) for name in wanted if name in there]
    return Violations(
        missing=tuple(c for c in expected if c.name not in there),
        extra=_extra(wanted, found),
        retyped=tuple(Retyped(w.name, w.dtype, t.dtype) for w, t in both if w.dtype != t.dtype),
        order=_out_of_place([w.name for w, _ in both], list(dict.fromkeys(c.name for c in found))),
        roles=tuple(Retyped(w.name, w.role, t.role) for w, t in both if w.role != t.role),
    )


def diff(old: Manifest, new: Manifest) -> Difference:
    """What ``new`` adds, removes, retypes and reorders against ``old``."""
    seen = compare(old.columns, new.columns)
    return Difference(seen.extra, seen.missing, seen.retyped, seen.order)


def to_json(manifest: Manifest) -> dict[str, Any]:
    """The document of ``schema/feature_schema_manifest.json``."""
    return {
        "version": manifest.version,
        "generated_at": manifest.generated_at,
        "reference_file": manifest.reference_file,
        "hash_strategy": HASH_STRATEGY,
        "schema_hash": manifest.schema_hash,
        "column_order_enforced": True,
        "total_columns": len(manifest.columns),
        "columns": [vars(c) for c in manifest.columns],
    }


def from_json(document: Mapping[str, Any]) -> Manifest:
    """Read a manifest and hold it against itself.

    Raises:
        UsageError: not a manifest, or its hash, total, version, names or dtypes contradict its
            own columns; all contradictions in one message.
    """
    try:
        manifest = Manifest(
            version=str(document["version"]),
            generated_at=str(document["generated_at"]),
            reference_file=str(document["reference_file"]),
            columns=tuple(_column(c) for c in document["columns"]),
        )
        problems = _contradictions(manifest, document)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"schema manifest: not in the expected form; {type(error).__name__}: {error}",
            "restore the file or write it again with g5 regenerate-manifest",
        ) from error
    if problems:
        raise UsageError(
            f"schema manifest {manifest.version}: {'; '.join(problems)}",
            "it was edited by hand; restore it or write it again with g5 regenerate-manifest",
        )
    return manifest


def _column(entry: Mapping[str, Any]) -> Column:
    name = entry["name"]
    return Column(name, entry["dtype"], entry["nullable"], entry.get("role", _default_role(name)))


def _contradictions(manifest: Manifest, document: Mapping[str, Any]) -> list[str]:
    stated = {
        "hash_strategy": (document["hash_strategy"], HASH_STRATEGY),
        "column_order_enforced": (document["column_order_enforced"], True),
        "total_columns": (document["total_columns"], len(manifest.columns)),
        "schema_hash": (document["schema_hash"], manifest.schema_hash),
    }
    problems = [
        f"{field} says {got!r}, its columns give {expected!r}"
        for field, (got, expected) in stated.items()
        if got != expected
    ]
    if not _VERSION.fullmatch(manifest.version):
        problems.append("version is not of the form X.Y.Z")
    counts = Counter(c.name for c in manifest.columns)
    problems += _listed("duplicate columns", [n for n, count in counts.items() if count > 1])
    problems += _listed(
        "column names that are empty, padded or hold ':' or ';'",
        [n for n in counts if not _NAME.fullmatch(n)],
    )
    problems += _listed(
        "unknown dtypes", [f"{c.name}:{c.dtype}" for c in manifest.columns if c.dtype not in DTYPES]
    )
    problems += _listed("labels, which are never inputs", labels_among(manifest.columns))
    problems += _listed(
        "unknown roles",
        [f"{c.name}:{c.role}" for c in manifest.columns if c.role not in get_args(Role)],
    )
    return problems


def _listed(what: str, names: Sequence[str]) -> list[str]:
    """No or one problem: at most five offenders by name, then how many more."""
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{what}: {', '.join(map(repr, names[:5]))}{more}"]


def _extra(wanted: Mapping[str, Column], found: Sequence[Column]) -> tuple[Column, ...]:
    seen: set[str] = set()
    extra = []
    for column in found:
        if column.name not in wanted or column.name in seen:
            extra.append(column)
        seen.add(column.name)
    return tuple(extra)


def _out_of_place(wanted: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    """Names of ``found``, reduced to those in ``wanted``, that differ from it by position."""
    known = set(wanted)
    common = [name for name in found if name in known]
    return tuple(name for name, expected in zip(common, wanted, strict=True) if name != expected)


def _stated_role(field: pa.Field[Any]) -> str:
    stated: bytes | None = (field.metadata or {}).get(ROLE_ENTRY)
    return "none" if stated is None else stated.decode(errors="replace")


def _default_role(name: str) -> Role:
    if name in KEYS:
        return "key"
    return "label" if name.startswith(LABEL_PREFIX) else "feature"
