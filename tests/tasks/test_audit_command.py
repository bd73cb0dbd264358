"""``g5 audit`` on what a real build left behind; and builds that go without a source."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.api.catalogue.endpoints import endpoint_of
from pipeline.features.engine import catalogue
from pipeline.manifest import columns_of, schema_hash
from tests.tasks.commands import FEW_SOURCES, NOBODY, ONE_PROCESS, Home
from tests.tasks.conftest import RANGE

DAYS = ("--start", "2024-03-14", "--end", "2024-04-03")


@pytest.fixture(scope="module")
def built(built: Home) -> Home:
    """Tasks share the process of their run: here it matters what they do."""
    return built.having(**ONE_PROCESS)


def test_a_built_range_passes(built: Home) -> None:
    """Over two chunks, from their own snapshots, without the API; says what was checked."""
    before = built.facts()
    ended = built.having(JQUANTS_API_BASE=NOBODY, JQUANTS_API_KEY=None).g5(
        "audit", *DAYS, "--cuts", "2"
    )
    assert ended.code == 0, ended.told
    assert ended.out == (
        "audit 2024-03-14 to 2024-04-03: no column differs; "
        "checks: truncation, length, append, order\n"
    )
    assert any("from what was public then" in line for line in ended.told)
    assert built.facts() == before


PLANT = """
import sys
import numpy as np
from pipeline import cli
from pipeline.features.price import candle

honest = candle.compute

def looking_ahead(market):
    values = honest(market)
    last = values["kbar_len"]
    return {**values, "kbar_len": np.hstack([last[:, 1:], last[:, -1:]])}

candle.compute = looking_ahead
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_leak_is_a_finding(built: Home, tmp_path: Path) -> None:
    """Exit code 1, one line per column and a report for programs."""
    report = tmp_path / "audit.json"
    words = ("audit", *DAYS, "--columns", "candle", "--checks", "truncation", "--cuts", "1")
    ended = built.python(PLANT, *words, "--report", str(report))
    assert ended.code == 1, ended.told
    told = ended.out.splitlines()
    assert told, ended.told
    assert told[0].startswith("truncation at 2024-0")
    assert "candle.kbar_len differs in" in told[0]
    findings = json.loads(report.read_text())
    assert findings[0]["family"] == "candle"
    assert {f["column"] for f in findings} <= set(catalogue.columns_by_family()["candle"])


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((*DAYS, "--columns", "nonsense"), 2, "'nonsense': neither a column nor a family"),
        (("--start", "2024-04-03", "--end", "2024-03-14"), 2, "--end 2024-03-14 is before"),
        (("--start", "2023-04-03", "--end", "2023-04-14"), 20, "no chunk between"),
        ((*DAYS, "--cuts", "0"), 2, "expected a whole number from 1"),
        (("--start", "2024-04-06", "--end", "2024-04-07"), 2, "no session"),
    ],
)
def test_what_cannot_be_audited_is_said(
    built: Home, words: tuple[str, ...], code: int, text: str
) -> None:
    """One line, and the exit code of the kind of error."""
    ended = built.g5("audit", *words)
    assert ended.code == code
    assert text in ended.told[-1]


def test_a_declared_outage_leaves_nulls_and_is_recorded(built: Home, tmp_path: Path) -> None:
    """The columns of the source are null, all others as they were; schema and hash unchanged; the
    chunk says what it went without, and nobody asked for it."""
    missing = [*FEW_SOURCES["UNAVAILABLE_SOURCES"].split(","), "fin_summary"]
    home = built.copy(tmp_path / "output", "cache").having(UNAVAILABLE_SOURCES=", ".join(missing))
    for document in (home.root / "cache/fin_summary").glob("*.json"):
        document.unlink()
    ended = home.run("BuildAll", *RANGE)
    assert ended.code == 0, ended.told
    status = home.statuses()["2024Q1"]
    assert {key.split("_raw_")[0] for key in status["inputs"]} == {"daily_bars", "listed", "topix"}
    metadata = json.loads(home.chunks.metadata_path("2024Q1").read_text())
    assert set(metadata["unavailable"]) == set(missing)
    assert status["schema_hash"] == built.statuses()["2024Q1"]["schema_hash"]
    seen, full = (pq.read_table(h.chunks.parquet_path("2024Q1")) for h in (home, built))
    assert schema_hash(columns_of(seen.schema)) == status["schema_hash"]
    gone = {endpoint_of(source).id for source in missing}
    for feature in catalogue.features():
        if feature.endpoints & gone:
            assert seen[feature.name].null_count == seen.num_rows, feature.name
        else:
            assert seen[feature.name].equals(full[feature.name]), feature.name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("daily_bars", "there is no row without it"),
        ("futures,news", "'news': expected none or some of"),
    ],
)
def test_an_outage_of_something_else_is_refused(built: Home, value: str, text: str) -> None:
    """Before anything is asked or written."""
    ended = built.having(UNAVAILABLE_SOURCES=value).run("BuildAll", *RANGE)
    assert ended.code == 2
    assert text in ended.told[-1]
