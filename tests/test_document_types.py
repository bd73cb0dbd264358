"""The types of the documents are those of the schemas."""

from __future__ import annotations

from tests import document_types


def test_the_types_follow_from_the_schemas():
    current = document_types.TARGET.read_text("utf-8")
    assert current == document_types.module(), "run: python -m tests.document_types"
