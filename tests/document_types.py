"""Writes ``pipeline/filesystem/document_types.py`` from ``schema/*.schema.json``.

``python -m tests.document_types``. The schemas are what documents are held against at run time; the
types let mypy hold the code against the same schemas.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
TARGET = PROJECT / "pipeline" / "filesystem" / "document_types.py"

_HEADER = '''"""Types of the JSON documents, one for each schema. Generated: python -m tests.document_types."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_MOST_VALUES = 6


class Writer:
    """Collects the classes of one schema, those used by others first."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._root = _camel(schema["$id"].removesuffix(".schema.json")) + "Document"
        self.classes: dict[str, str] = {}

    def write(self) -> str:
        self._object(self._root, self._schema)
        return "\n\n".join(self.classes.values())

    def _object(self, name: str, node: Mapping[str, Any]) -> str:
        """The type of an object; one with fixed keys becomes a class."""
        if "properties" not in node:
            values = node.get("additionalProperties", {})
            return f"dict[str, {self._type(name, values) if values else 'Any'}]"
        required = node.get("required", ())
        lines = []
        for key, value in node["properties"].items():
            if not isinstance(value, dict):
                continue
            text = self._type(name.removesuffix("Document") + _camel(key), value)
            lines.append(f"    {key}: {text if key in required else f'NotRequired[{text}]'}")
        self.classes.setdefault(name, "\n".join([f"class {name}(TypedDict):", *lines]) + "\n")
        return name

    def _type(self, name: str, node: Mapping[str, Any]) -> str:
        if "$ref" in node:
            return self._reference(node["$ref"])
        for choice in ("oneOf", "anyOf"):
            if choice in node:
                return " | ".join(dict.fromkeys(self._type(name, one) for one in node[choice]))
        if "enum" in node or "const" in node:
            return _literal(node.get("enum", [node.get("const")]))
        kinds = node.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return " | ".join(self._one(name, node, kind) for kind in kinds) or "Any"

    def _one(self, name: str, node: Mapping[str, Any], kind: str) -> str:
        if kind == "object":
            return self._object(name, node)
        if kind == "array":
            items = node.get("items") or next(iter(node.get("prefixItems", ())), {})
            one = name.removesuffix("Entry").removesuffix("s")
            return f"list[{self._type(one, items) if items else 'Any'}]"
        return _SCALARS[kind]

    def _reference(self, reference: str) -> str:
        if reference == "#":
            return self._root
        name = reference.removeprefix("#/$defs/")
        return self._type(
            self._root.removesuffix("Document") + _camel(name), self._schema["$defs"][name]
        )


def _literal(values: list[Any]) -> str:
    """One of a few values; of many, their type is enough."""
    if len(values) > _MOST_VALUES:
        return type(values[0]).__name__
    text = f"Literal[{', '.join(repr(value) for value in values if value is not None)}]"
    return f"{text} | None" if None in values else text


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_"))


def module() -> str:
    """The whole text of the module, as ruff formats it."""
    schemas = [
        json.loads(path.read_text("utf-8"))
        for path in sorted((PROJECT / "schema").glob("*.schema.json"))
    ]
    text = "\n\n".join([_HEADER, *(Writer(schema).write() for schema in schemas)])
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", f"--stdin-filename={TARGET}", "-"]
    return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    TARGET.write_text(module(), "utf-8")
