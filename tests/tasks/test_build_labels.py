"""Labels in a run: over chunk borders, for exactly the rows of the dataset, filled as days come."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.label_store import LabelStore
from pipeline.features.labels.label_values import LABELS, label_schema
from pipeline.filesystem import documents
from pipeline.manifest import columns_of, labels_among
from tests.tasks.commands import EVERYTHING, FEW_SOURCES, ONE_PROCESS, Home, asked, rewrite
from tests.tasks.conftest import RANGE
from tests.tasks.test_steps import edit

WITHOUT_LABELS = tuple(part for part in EVERYTHING if part != "labels")
VIEW = "ml_dataset_latest_with_labels.parquet"


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


def label_table(home: Home) -> pa.Table:
    """All label files of the table, in order."""
    store = LabelStore(home.root)
    parts = store.read_document()["parts"]
    return pa.concat_tables([pq.read_table(store.part_path(p["chunk_id"])) for p in parts])


def on(table: pa.Table, name: str, day: str) -> list[float | None]:
    """A label of all rows of a day."""
    return table.filter(pc.equal(table["Date"].cast(pa.string()), day))[name].to_pylist()


def some(values: list[float | None]) -> bool:
    return any(value is not None for value in values)


def test_the_labels_are_for_exactly_the_rows_of_the_dataset(built: Home) -> None:
    """The same keys in the same order, roles in the schema, one file per chunk."""
    table = label_table(built)
    keys = pq.read_table(built.dataset_path(), columns=["Date", "Code"])
    assert table.select(["Date", "Code"]).equals(keys)
    schema = pq.read_schema(LabelStore(built.root).part_path("2024Q1"))
    assert schema.remove_metadata().equals(label_schema(), check_metadata=True)
    document = LabelStore(built.root).read_document()
    assert document["rows"] == table.num_rows
    assert {p["chunk_id"]: p["build_id"] for p in document["parts"]} == built.builds()
    assert {p["known_to"] for p in document["parts"]} == {"2024-04-12"}
    assert document["origin"] == "simulator"


def test_labels_look_over_the_border_of_a_chunk_and_not_beyond_the_data(built: Home) -> None:
    """2024-03-29 has its exit in the next quarter; the days at the end wait for theirs."""
    table = label_table(built)
    assert some(on(table, "label_ret_oo_5d", "2024-03-29"))
    assert some(on(table, "label_ret_cc_10d", "2024-03-29"))
    assert not some(on(table, "label_ret_oo_10d", "2024-03-29"))  # 2024-04-15
    assert some(on(table, "label_ret_cc_1d", "2024-04-11"))
    assert not some(on(table, "label_ret_oo_1d", "2024-04-11"))
    assert not some(on(table, "label_ret_cc_1d", "2024-04-12"))


def test_labels_by_hand_from_the_bars_of_the_cache(built: Home) -> None:
    """Five sessions ahead of every stock on one day, from the parts themselves."""
    days = ["2024-03-27", "2024-03-28", "2024-04-04"]
    bars: dict[tuple[str, str], dict[str, float]] = {}
    for path in (built.root / "cache/daily_bars/parts").glob("*.parquet"):
        for bar in pq.read_table(path).to_pylist():
            bars[str(bar["Date"]), bar["Code"]] = bar
    table = label_table(built)
    rows = table.filter(pc.equal(table["Date"].cast(pa.string()), days[0])).to_pylist()
    compared = 0
    for row in rows:
        entry, leaving = (bars[day, row["Code"]]["O"] for day in days[1:])
        if entry and leaving:  # no split in these days, or this fails
            assert row["label_ret_oo_5d"] == pytest.approx(leaving / entry - 1, rel=1e-5, abs=1e-7)
            compared += 1
    assert compared > 5


@pytest.mark.slow
def test_later_sessions_fill_what_was_open_and_touch_nothing_else(
    built: Home, tmp_path: Path
) -> None:
    """The first chunk is not built again, only its labels; a third run has nothing to do."""
    home = built.copy(tmp_path / "output", *EVERYTHING).having(**FEW_SOURCES)
    before, builds = label_table(home), home.builds()
    ended = home.run("BuildAll", *RANGE[:3], "2024-05-10")
    assert ended.code == 0, ended.told
    assert not any("are kept although" in line for line in ended.told)
    assert home.builds()["2024Q1"] == builds["2024Q1"]
    assert home.builds()["2024Q2"] != builds["2024Q2"]
    after = label_table(home).slice(0, before.num_rows)
    assert after.select(["Date", "Code"]).equals(before.select(["Date", "Code"]))
    for label in LABELS:
        was, now = before[label.name], after[label.name]
        assert now.null_count <= was.null_count
        known = was.is_valid()
        assert now.filter(known).equals(was.filter(known)), label.name
    assert some(on(after, "label_ret_oo_10d", "2024-03-29"))
    assert some(on(after, "label_ret_oo_20d", "2024-04-08"))
    parts = {p["chunk_id"]: p for p in LabelStore(home.root).read_document()["parts"]}
    assert (parts["2024Q1"]["settled"], parts["2024Q2"]["settled"]) == (True, False)
    files = home.facts()
    assert home.run("BuildAll", *RANGE[:3], "2024-05-10").code == 0
    assert home.facts() == files


def test_made_alone_and_anew_they_are_the_same_bytes(built: Home, tmp_path: Path) -> None:
    """BuildLabels asks nothing; without their document all labels are made again; one file that
    is missing is made alone."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    requests, before = asked(home.url), home.facts()
    assert home.run("BuildLabels").code == 0
    assert home.facts() == before
    document = LabelStore(home.root).document_path
    document.unlink()
    assert home.run("BuildLabels").code == 0
    LabelStore(home.root).part_path("2024Q1").unlink()
    ended = home.run("BuildLabels")
    assert ended.code == 0, ended.told
    assert asked(home.url) == requests
    after = home.facts()
    files = [f"labels/{chunk}.parquet" for chunk in home.builds()]
    assert [after[name][0] for name in files] == [before[name][0] for name in files]


def test_a_corrected_bar_reaches_no_label_that_was_settled(built: Home, tmp_path: Path) -> None:
    """It stands as published, which is said; a rebuild on request takes the present bars."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    before = label_table(home)
    for path in (home.root / "cache/daily_bars/parts").glob("*.parquet"):
        bars = pq.read_table(path)
        raised = [pc.multiply(bars[name], 1.01) for name in ("O", "C")]
        day = pc.equal(bars["Date"].cast(pa.string()), "2024-03-08")
        for name, column in zip(("O", "C"), raised, strict=True):
            at = bars.column_names.index(name)
            bars = bars.set_column(at, bars.field(at), pc.if_else(day, column, bars[name]))
        sink = pa.BufferOutputStream()
        pq.write_table(bars, sink)
        content = sink.getvalue().to_pybytes()
        rewrite(path, content)
        edit(path.with_suffix(".json"), bytes=len(content))
    edit(home.chunks.status_path("2024Q1"), build_id="1" * 32)  # as if it had grown
    edit(home.chunks.metadata_path("2024Q1"), build_id="1" * 32)
    ended = home.run("BuildLabels")
    assert ended.code == 0, ended.told
    assert label_table(home).equals(before)
    (line,) = [line for line in ended.told if "are kept although" in line]
    assert "labels of 2024Q1" in line
    assert "g5 rebuild" in line
    edit(home.chunks.status_path("2024Q1"), build_id="2" * 32, rebuild="3" * 32)
    edit(home.chunks.metadata_path("2024Q1"), build_id="2" * 32)
    assert home.run("BuildLabels").code == 0
    assert not label_table(home).equals(before)


def test_without_the_days_it_says_which_are_missing(built: Home, tmp_path: Path) -> None:
    """The dataset is there; the labels are not, and the line says what to do."""
    home = built.copy(tmp_path / "output", *WITHOUT_LABELS)
    for note in (home.root / "cache/topix/parts").glob("*.json"):
        note.unlink()
    ended = home.run("BuildLabels")
    assert ended.code == 30
    line = ended.told[-1]
    assert "days of topix are not in the cache, from 2024-03-01" in line
    assert "g5 rebuild" in line
    assert LabelStore(home.root).document() is None


def test_the_dataset_with_labels_on_request(built: Home, tmp_path: Path) -> None:
    """Every column of both, roles kept, the same rows; written once, and again after a change."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    assert not (home.root / VIEW).exists()
    ended = home.run("BuildLabels", "--joined-view")
    assert ended.code == 0, ended.told
    joined = pq.read_table(home.root / VIEW)
    features, table = pq.read_table(home.dataset_path()), label_table(home)
    assert joined.select(features.column_names).equals(features)
    assert joined.select(table.column_names).equals(table)
    assert len(labels_among(columns_of(joined.schema))) == 40
    told = documents.read_document(
        home.root / VIEW.replace(".parquet", "_metadata.json"), "training"
    )
    assert (told["rows"], told["label_columns"]) == (features.num_rows, 40)
    groups = [
        pq.ParquetFile(path).num_row_groups for path in (home.root / VIEW, built.dataset_path())
    ]
    assert groups[0] == groups[1]
    files = home.facts()
    assert home.run("BuildLabels", "--joined-view").code == 0
    assert home.facts() == files
    rewrite(home.root / VIEW, b"damaged")
    assert home.run("BuildLabels", "--joined-view").code == 0
    assert pq.read_table(home.root / VIEW).equals(joined)
    part = home.root / "labels" / "2024Q1.parquet"
    content = part.read_bytes()
    rewrite(part, content[:200] + bytes([content[200] ^ 1]) + content[201:])
    (home.root / VIEW).unlink()
    ended = home.run("BuildLabels", "--joined-view")
    assert ended.code == 30
    assert any(f"label file {part}: is not the one recorded" in line for line in ended.told)
    part.unlink()  # as the message says
    assert home.run("BuildLabels", "--joined-view").code == 0
    assert part.read_bytes() == content
    assert pq.read_table(home.root / VIEW).equals(joined)


@pytest.mark.parametrize("role", [b"label", b"feature"])
def test_the_gate_refuses_a_chunk_with_a_label(built: Home, tmp_path: Path, role: bytes) -> None:
    """By its role or by its name alone; nothing is merged."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    path = home.chunks.parquet_path("2024Q2")
    table = pq.read_table(path)
    name = "ret_next" if role == b"label" else "label_ret_cc_1d"
    field = pa.field(name, pa.float32(), metadata={b"role": role})
    table = table.append_column(field, pa.nulls(table.num_rows, pa.float32()))
    path.unlink()
    pq.write_table(table, path)
    edit(home.chunks.status_path("2024Q2"), parquet_bytes=path.stat().st_size, build_id="0" * 32)
    ended = home.run("MergeChunks")
    assert ended.code == 30
    assert f"holds labels, which are never inputs: '{name}'" in ended.told[-1]
    report = json.loads((home.root / "validation/schema_validation.json").read_text())
    assert not report["passed"]
    assert home.dataset_sha() == built.dataset_sha()
