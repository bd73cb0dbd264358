"""Receipts: what was made from other builds than those of now is due again."""

from __future__ import annotations

from typing import Any

from pipeline.operations.planning.staleness import difference, why_gate_due, why_merge_due

NOW = {"2024Q1": "a", "2024Q2": "b"}


def report(**changes: Any) -> dict[str, Any]:
    fields = {"passed": True, "schema_hash": "1" * 16, "inputs": NOW, "chunks": []}
    return fields | changes


def test_the_same_builds_are_no_difference() -> None:
    """Whatever their order."""
    assert difference(dict(reversed(NOW.items())), NOW) is None


def test_every_difference_is_named() -> None:
    """Rebuilt, added and vanished chunks, all of them."""
    told = difference({"2023Q4": "z", "2024Q1": "old"}, NOW)
    assert told is not None
    assert told.split("; ") == [
        "made before the present build of 2024Q1",
        "made without 2024Q2",
        "made with others too: 2023Q4",
    ]


def test_many_chunks_are_five_names_and_a_count() -> None:
    """A line stays a line."""
    told = difference({}, {f"20{year}Q1": "a" for year in range(10, 18)})
    assert told is not None
    assert told.endswith("2014Q1 and 3 more")


def test_the_gate_is_due_for_each_of_its_reasons() -> None:
    """A failure, another manifest, other builds."""
    assert why_gate_due(report(), NOW, "1" * 16) is None
    failed = report(passed=False, chunks=[{"chunk_id": "2024Q2", "passed": False}])
    assert why_gate_due(failed, NOW, "1" * 16) == "failed for 2024Q2"
    assert "manifest 11111111, now it is 22222222" in str(why_gate_due(report(), NOW, "2" * 16))
    earlier = report(chunks=[{"chunk_id": "2024Q1", "passed": True}])
    assert "before sessions and stocks were held" in str(why_gate_due(earlier, NOW, "1" * 16))
    assert "without 2024Q2" in str(why_gate_due(report(inputs={"2024Q1": "a"}), NOW, "1" * 16))


def test_the_merge_is_due_for_other_builds() -> None:
    """By the dataset's own metadata."""
    merged = [{"chunk_id": chunk, "build_id": build} for chunk, build in NOW.items()]
    assert why_merge_due({"chunks": merged}, NOW) is None
    assert "2024Q2" in str(why_merge_due({"chunks": merged[:1]}, NOW))
