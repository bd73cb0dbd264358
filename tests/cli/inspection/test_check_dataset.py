"""``g5 check-dataset``: every fault that is planted is found, named, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline import manifest as m
from pipeline.cache.parts import Day
from pipeline.cache.snapshots import SnapshotStore
from pipeline.dataset.chunk_store import ChunkStore
from pipeline.dataset.publication import DatasetStore, metadata_path
from pipeline.filesystem import documents
from pipeline.operations.inspection import dataset_check
from pipeline.operations.planning import run_plan
from tests.cli.inspection.chunk_folders import MANIFEST
from tests.dataset.builders import NOW, SCHEMA, build, clock, remember_calendar

CODES = [f"{1300 + i}0" for i in range(60)]
WINTER = [dt.date(2020, 1, day) for day in (6, 7, 8)] + [dt.date(2020, 2, day) for day in (3, 4)]
SPRING = [dt.date(2020, 4, day) for day in (1, 2, 3)] + [dt.date(2020, 5, day) for day in (7, 8)]
SESSIONS = [*WINTER, *SPRING]
MASTER = "master"


@dataclass(frozen=True)
class Root:
    """An output root with a dataset of two quarters, and a cache that agrees with it."""

    path: Path

    @property
    def dataset(self) -> Path:
        latest = DatasetStore(self.path).latest()
        assert latest is not None
        return latest.path

    def rewrite(self, *groups: pa.Table, schema: pa.Schema = SCHEMA, **options: Any) -> None:
        """Other row groups in the published file, under the metadata it has."""
        path = self.dataset
        with pq.ParquetWriter(path, schema, write_statistics=["Date", "Code"], **options) as file:
            for table in groups:
                file.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))

    def groups(self) -> list[pa.Table]:
        with pq.ParquetFile(self.dataset) as file:
            return [file.read_row_group(i) for i in range(file.num_row_groups)]

    def describe(self, **changes: Any) -> None:
        """Change what is said beside the file."""
        path = metadata_path(self.dataset)
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    def check(self, *flags: str) -> tuple[int, dict[str, Any]]:
        """Exit code and report."""
        code = cli.main(["check-dataset", "--output", str(self.path), *flags])
        path = self.path / "validation" / "dataset_quality.json"
        return code, documents.read_document(path, "dataset_quality")


def values(dates: Iterable[dt.date], seed: int) -> pa.Table:
    """Noise with some nulls, a flag and a sector; all codes on all dates."""
    keys = [(date, code) for date in dates for code in CODES]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(len(keys)).astype(np.float32)
    return pa.Table.from_arrays(
        [
            pa.array([date for date, _ in keys], pa.date32()),
            pa.array([code for _, code in keys]),
            pa.array(noise, mask=noise > 1.5),
            pa.array(rng.integers(0, 2, len(keys)), pa.int8()),
            pa.array(["a", "b", None] * (len(keys) // 3)).dictionary_encode(),
        ],
        schema=SCHEMA,
    )


def months(dates: list[dt.date], change: Callable[[pa.Table], pa.Table] | None) -> list[pa.Table]:
    tables = [
        values([d for d in dates if d.month == n], n) for n in sorted({d.month for d in dates})
    ]
    return [change(table) if change else table for table in tables]


def root_with(path: Path, spring: Callable[[pa.Table], pa.Table] | None = None) -> Root:
    """A root; ``spring`` changes the rows of the second quarter before it is built."""
    chunks = ChunkStore(path, clock)
    build(chunks, "2020Q1", *months(WINTER, None))
    quarter = {"covered_from": dt.date(2020, 4, 1), "covered_to": dt.date(2020, 6, 30)}
    build(chunks, "2020Q2", *months(SPRING, spring), **quarter)
    DatasetStore(path, clock).merge(chunks, chunks.ids())
    remember_calendar(path, [*SESSIONS, dt.date(2020, 5, 11), dt.date(2020, 5, 12)])
    remember_listed(path, SESSIONS, CODES)
    return Root(path)


def remember_listed(path: Path, sessions: list[dt.date], codes: list[str]) -> None:
    """Listing records: the codes on the Prime market, and a fund that is no share."""
    keys = [(day, code) for day in sessions for code in [*codes, "99990"]]
    table = pa.table(
        {
            "Date": pa.array([day for day, _ in keys], pa.date32()),
            "Code": [code for _, code in keys],
            "Mkt": ["0109" if code == "99990" else "0111" for _, code in keys],
            "S33": ["9999" if code == "99990" else "3650" for _, code in keys],
        }
    )
    moment = NOW.isoformat()
    days = [Day(str(day), len(codes) + 1, moment, moment) for day in sessions]
    SnapshotStore(path, "simulator").add("listed", "2020", days, table, fetched_at=moment)


@pytest.fixture(autouse=True)
def agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest of these small chunks, and a moment after their last day."""
    monkeypatch.setattr(run_plan, "load_manifest", lambda *_: MANIFEST)
    monkeypatch.setenv("G5_NOW", "2020-05-11T08:00")
    monkeypatch.setenv("JQUANTS_API_BASE", "http://127.0.0.1:9/v2")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return root_with(tmp_path / "output")


def latest(root: Root) -> Path:
    return DatasetStore(root.path).latest_path


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def found(report: dict[str, Any], kind: str = "findings") -> dict[str, str]:
    """Texts by check."""
    return {entry["check"]: entry["text"] for entry in report[kind]}


def test_a_good_dataset_has_nothing_to_say(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    """All checks were made; the report says what was looked at."""
    code, report = root.check()
    assert (code, report["findings"], report["warnings"], report["unchecked"]) == (0, [], [], {})
    assert (report["rows"], report["columns"], report["columns_compared"]) == (600, 5, 3)
    assert [(c["chunk_id"], c["rows"], c["sessions"]) for c in report["chunks"]] == [
        ("2020Q1", 300, 5),
        ("2020Q2", 300, 5),
    ]
    shown = capsys.readouterr().out
    assert "[OK] 0 findings, 0 warnings" in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.startswith("2020Q")] == [
        ["2020Q1", "300", "5"],
        ["2020Q2", "300", "5"],
    ]


def test_programs_read_the_report(root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is what is written, here to another place."""
    path = root.path.parent / "mine.json"
    assert cli.main(
        ["check-dataset", "--output", str(root.path), "--json", "--report", str(path)]
    ) == (0)
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_bytes())
    assert not (root.path / "validation").exists()


def test_a_key_that_stands_twice_is_found(root: Root) -> None:
    """In one row group, and in two."""
    first, *others = root.groups()
    root.rewrite(pa.concat_tables([first, first.slice(first.num_rows - 1)]), *others)
    code, report = root.check()
    assert code == 1
    assert found(report)["keys"] == "stands 2 times; 1 keys stand more than once"
    assert found(report)["master"] == "2020-01-08 has 61 rows, 60 are listed"
    root.rewrite(first, first.slice(0, 2), *others)
    _, report = root.check()
    assert found(report)["keys"] == "stands 2 times; 2 keys stand more than once"
    assert "begins with 2020-01-06 13000" in found(report)["order"]


def test_rows_out_of_order_are_found(root: Root) -> None:
    """Within a row group, between two, over a month, and where statistics lie by absence."""
    january, february, april, may = root.groups()
    backwards = january.take(list(range(january.num_rows))[::-1])
    root.rewrite(backwards, february, april, may)
    code, report = root.check()
    assert code == 1
    assert found(report)["order"].startswith("179 rows do not follow those before, first")
    assert "keys" not in found(report)
    root.rewrite(february, january, april, may)
    _, report = root.check()
    assert (
        "begins with 2020-01-06 13000, the one before ends with 2020-02-04"
        in (found(report)["order"])
    )
    root.rewrite(january, february, pa.concat_tables([april, may]))
    _, report = root.check()
    assert found(report)["order"] == "2020-04-01 to 2020-05-08 is more than one month"


def test_null_keys_are_found(root: Root) -> None:
    """They are told, and the others still looked at."""
    january, *others = root.groups()
    fields = [f.with_nullable(True) for f in SCHEMA]
    codes = pa.array([None, *january["Code"].to_pylist()[1:]], pa.string())
    broken = january.set_column(1, fields[1], codes)
    root.rewrite(broken, *others, schema=pa.schema(fields, metadata=SCHEMA.metadata))
    code, report = root.check()
    assert (code, found(report)["keys"]) == (1, "1 keys are null")
    assert "2020-01-06 has 59 rows, 60 are listed" in found(report)["master"]


def test_days_without_trading_and_lost_sessions_are_found(root: Root) -> None:
    """The calendar is the judge: a holiday with rows, sessions without, where and between what."""
    remember_calendar(root.path, [*SESSIONS[:4], dt.date(2020, 3, 2), *SESSIONS[5:]])
    code, report = root.check()
    assert code == 1
    assert found(report)["calendar"] == "no trading day, 60 rows on 2020-02-04"
    assert found(report)["gaps"] == (
        "1 sessions without a row, between chunks 2020Q1 and 2020Q2: 2020-03-02"
    )
    remember_calendar(root.path, [*SESSIONS, dt.date(2020, 1, 9)])
    _, report = root.check()
    assert found(report)["gaps"] == "1 sessions without a row, inside chunk 2020Q1: 2020-01-09"
    assert "calendar" not in found(report)


def test_a_calendar_that_ends_too_soon_judges_what_it_knows(root: Root) -> None:
    """Later days are no holidays: that they were not looked at is said."""
    remember_calendar(root.path, [*SESSIONS[:5], dt.date(2020, 4, 1), dt.date(2020, 4, 2)])
    code, report = root.check()
    assert (code, report["findings"]) == (0, [])
    assert report["unchecked"] == dict.fromkeys(
        ("calendar", "gaps"),
        "the trading calendar in the cache is of 2020-01-06 to 2020-04-02 only",
    )


def test_rows_of_days_to_come_are_found(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the moment of publication with a calendar, by the clock without one."""
    monkeypatch.setenv("G5_NOW", "2020-05-08T09:00")
    code, report = root.check()
    assert (code, found(report)["future"]) == (1, "after 2020-05-07, 60 rows on 2020-05-08")
    for path in (root.path / "cache/trading_calendar").glob("*.json"):
        path.unlink()
    monkeypatch.setenv("G5_NOW", "2020-05-07T09:00")
    _, report = root.check()
    assert found(report)["future"] == "after 2020-05-07, 60 rows on 2020-05-08"
    assert set(report["unchecked"]) == {"calendar", "gaps"}


def test_rows_that_the_master_does_not_have_are_found(tmp_path: Path) -> None:
    """A stock too many on a day, or one too few; without records that is said and no finding."""
    root = root_with(tmp_path / "output")
    cache = root.path / "cache" / "listed"
    for path in (cache / "parts").iterdir():
        path.unlink()
    code, report = root.check()
    assert code == 0
    assert report["unchecked"] == {"master": "no listing records of 10 of 10 days in the cache"}
    remember_listed(root.path, WINTER, CODES[:-1])
    remember_listed(root.path, SPRING[:3], [*CODES, "86970"])
    code, report = root.check()
    assert code == 1
    assert "2020-01-06 has 60 rows, 59 are listed" in found(report)["master"]
    assert "3 more days" in found(report)["master"]
    assert report["unchecked"]["master"].startswith("no listing records of 2 of 10 days")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t * 1.0, None),
        (lambda t: t * 100.0, "stability index"),
        (lambda t: abs(t) + 3.0, "stability index"),
        (lambda t: t * 0.0, "stability index"),
    ],
)
def test_another_distribution_is_a_warning(
    tmp_path: Path, change: Callable[[Any], Any], text: str | None
) -> None:
    """Another unit, a shift, a constant in place of values; not the noise of sampling."""

    def spring(table: pa.Table) -> pa.Table:
        numbers = table["ret_prev_1d"].to_numpy()
        made = pa.array(change(numbers).astype(np.float32), from_pandas=True)
        return table.set_column(2, SCHEMA.field(2), made)

    root = root_with(tmp_path / "output", spring)
    code, report = root.check()
    assert code == 0
    warnings = {w["subject"]: w["text"] for w in report["warnings"]}
    assert (text is None) == (warnings == {})
    if text:
        assert warnings["ret_prev_1d"].startswith(text)
        assert warnings["ret_prev_1d"].endswith("(2020Q1 to 2020Q2)")
        assert root.check("--fail-on-warning")[0] == 1
        assert root.check("--fail-on-warning", "--columns", "is_*", "sector")[0] == 0


def test_another_share_of_nulls_is_a_warning(tmp_path: Path) -> None:
    """Of any type: half of a flag, all of a text."""

    def spring(table: pa.Table) -> pa.Table:
        rows = table.num_rows
        flags = pa.array([None if i % 2 else 1 for i in range(rows)], pa.int8())
        table = table.set_column(3, SCHEMA.field(3), flags)
        return table.set_column(4, SCHEMA.field(4), pa.nulls(rows, SCHEMA.field(4).type))

    _, report = root_with(tmp_path / "output", spring).check()
    texts = {(w["check"], w["subject"]): w["text"] for w in report["warnings"]}
    assert texts["nulls", "is_traded"] == "0.0% null, then 50.0% (2020Q1 to 2020Q2)"
    assert texts["nulls", "sector"] == "33.3% null, then 100.0% (2020Q1 to 2020Q2)"


def test_columns_that_are_not_agreed_are_found(root: Root) -> None:
    """A label among the features, by role; and what else is wrong with the columns."""
    label = pa.field("label_x", pa.float32(), metadata={b"role": b"label"})
    schema = SCHEMA.append(label)
    groups = [t.append_column(label, pa.nulls(len(t), pa.float32())) for t in root.groups()]
    root.rewrite(*groups, schema=schema)
    code, report = root.check()
    assert code == 1
    texts = [f["text"] for f in report["findings"] if f["check"] == "schema"]
    assert "1 violations: extra column 'label_x' (Float32)" in texts
    assert "labels among the features: label_x" in texts


def test_metadata_that_belie_the_file_are_found(root: Root) -> None:
    """Hash, rows, range, null rates; and none at all."""
    assert root.check()[0] == 0
    rates = documents.read_document(metadata_path(root.dataset), "dataset_metadata")["null_rates"]
    root.describe(dataset_hash="ab" * 32, rows=601, null_rates=rates | {"is_traded": 0.5})
    code, report = root.check()
    assert code == 1
    told = {f["subject"]: f["text"] for f in report["findings"]}
    published = "ml_dataset_latest_metadata.json"
    assert set(told) == {"dataset_hash", "rows", "is_traded", published}
    assert "other than" in told[published]
    assert told["rows"] == "not that of the file: 601, the file has 600"
    dataset = root.dataset
    metadata_path(dataset).unlink()
    code, report = root.check("--dataset", str(dataset))
    assert (code, report["dataset_hash"]) == (1, None)
    assert [f["check"] for f in report["findings"]] == ["metadata"]
    assert [c["chunk_id"] for c in report["chunks"]] == ["2020Q1", "2020Q2"]


def test_bytes_that_were_changed_are_found(root: Root) -> None:
    """The footer is in the hash: a file written anew does not go unnoticed, same rows or not."""
    groups = root.groups()
    root.rewrite(*groups)
    _, report = root.check()
    assert [f["subject"] for f in report["findings"]] == ["dataset_hash"]


@pytest.mark.parametrize(
    ("prepare", "flags", "said"),
    [
        (lambda root: latest(root).unlink(), (), "there is no dataset (run g5 run production"),
        (lambda _: None, ("--columns", "nothing"), "--columns nothing: no column or family"),
        (lambda _: None, ("--dataset", "/nowhere.parquet"), "/nowhere.parquet: does not exist"),
        (lambda _: None, ("--dataset", "/"), "dataset /: is no file (give the file of a merged"),
        (lambda _: None, ("--dataset", __file__), "cannot be read"),
        (lambda _: None, ("--report", "/"), "report /: cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(
    root: Root,
    prepare: Callable[[Root], object],
    flags: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and no report."""
    prepare(root)
    assert cli.main(["check-dataset", "--output", str(root.path), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "merge" not in line.replace("merged", "")
    assert not (root.path / "validation").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"PAR1"), "cannot be read"),
        (lambda path: overwrite(path, 4, b"\xff" * 400), "cannot be read"),
        (lambda path: overwrite(path, path.read_bytes().index(b"sector"), b"\xbe"), "utf-8"),
        (lambda path: path.unlink(), "which is gone (merge again: g5 merge-chunks)"),
    ],
)
def test_a_dataset_that_cannot_be_read_has_not_passed(
    root: Root, damage: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of the last check, which it passed, does not stay."""
    assert root.check()[1]["passed"]
    damage(root.dataset)
    capsys.readouterr()
    code, report = root.check()
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert (code, shown.out, report["passed"]) == (2, "", False)
    assert said in line
    assert found(report)["file"] in line


def test_a_report_that_cannot_be_written_is_noticed_before_the_dataset_is_read(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name; a folder that is not there yet is made."""
    new = root.path.parent / "new" / "report.json"
    assert cli.main(["check-dataset", "--output", str(root.path), "--report", str(new)]) == 0
    assert new.is_file()
    monkeypatch.setattr(dataset_check, "examine", None)
    capsys.readouterr()
    (root.path / "validation").write_text("in the way")
    assert cli.main(["check-dataset", "--output", str(root.path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"report {root.path / 'validation' / 'dataset_quality.json'}: cannot be written" in line


def test_the_published_name_stands_for_what_it_points_at(root: Root) -> None:
    """The link, one of somebody's own to it, and a file copied under it with its metadata."""
    mine = root.path.parent / "mine.parquet"
    mine.symlink_to(latest(root))
    for name in (latest(root), mine):
        code, report = root.check("--dataset", str(name))
        assert (code, report["findings"], report["dataset"]) == (0, [], str(root.dataset))
    content = latest(root).read_bytes()
    latest(root).unlink()
    latest(root).write_bytes(content)
    for flags in ((), ("--dataset", str(latest(root)))):
        code, report = root.check(*flags)
        assert (code, report["findings"], report["dataset"]) == (0, [], str(latest(root)))


def test_published_metadata_of_another_dataset_are_found(root: Root) -> None:
    """Readers take them for those of the file: they are the same bytes."""
    path = DatasetStore(root.path).latest_metadata_path
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"rows": 1}))
    code, report = root.check()
    assert (code, [f["subject"] for f in report["findings"]]) == (1, [path.name])
    path.unlink()
    code, report = root.check()
    assert code == 1
    assert found(report)["metadata"] == "does not exist (merge again: g5 merge-chunks)"


def test_another_dataset_leaves_the_report_on_the_published_one_alone(
    root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own goes where it is told to go, also when it cannot be read."""
    before = root.check()[1]
    other, mine = root.path.parent / "other.parquet", root.path.parent / "mine.json"
    other.write_bytes(root.dataset.read_bytes())
    capsys.readouterr()
    assert root.check("--dataset", str(other)) == (1, before)
    shown = capsys.readouterr().out
    assert "other_metadata.json: does not exist\n" in shown
    assert "\nreport " not in shown
    other.write_bytes(b"PAR1")
    assert root.check("--dataset", str(other), "--report", str(mine)) == (2, before)
    assert not documents.read_document(mine, "dataset_quality")["passed"]


def test_the_manifest_of_these_tests_is_that_of_the_chunks() -> None:
    """Or the tests would show nothing."""
    assert m.schema_hash(m.columns_of(SCHEMA)) == MANIFEST.schema_hash
