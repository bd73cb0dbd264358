"""The report in a run: made last, of the builds there are, and cheap the next time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.operations.building import report_facts_reader
from pipeline.report.chunk_profile import DRIFT, base_columns, null_rates
from pipeline.report.report_facts import Earlier, Facts, earlier_of, kept
from pipeline.report.report_store import ReportStore
from tests.tasks.commands import EVERYTHING, NOW, Home, rewrite
from tests.tasks.test_steps import edit

CHUNKS = ["2024Q1", "2024Q2"]


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the moment of the runs."""
    monkeypatch.setenv("G5_NOW", NOW)


def gathered(home: Home, earlier: Earlier | None = None) -> Facts:
    """The facts, gathered in this process."""
    dataset = home.dataset()
    assert dataset is not None
    return report_facts_reader.facts_of(
        home.root, dataset, CHUNKS, earlier, now="2024-06-29T00:00:00+00:00", run_id="test"
    )


def latest(home: Home) -> Any:
    found = ReportStore(home.root).latest()
    assert found is not None
    return found


def test_a_run_ends_with_a_report_of_its_builds(built: Home) -> None:
    """The link shows it, the receipt names the builds, the page says that the data are made up."""
    report = latest(built)
    assert report.receipt["inputs"] == built.builds()
    assert report.receipt["origin"] == "simulator"
    page = (built.root / "reports/latest.html").read_text("utf-8")
    assert page == report.path.read_text("utf-8")
    assert len(page.encode()) < 3_000_000
    assert "Synthetic: made by the simulator" in page
    for told in (built.dataset_path().name, "2024Q1", "daily_bars", "This is the first report."):
        assert told in page


def test_the_facts_are_those_of_the_dataset(built: Home, moment: None) -> None:
    """Rows by market, members, null rates and quartiles, against a plain reading of everything."""
    facts = gathered(built)
    table = pq.read_table(built.dataset_path())
    month = pc.strftime(table["Date"], "%Y-%m")
    days = [str(day) for day in pc.unique(table["Date"]).to_pylist()]
    sessions = {d: one for profile in facts.profiles for d, one in profile.sessions.items()}
    assert list(sessions) == days
    for day, one in sessions.items():
        own = table.filter(pc.equal(table["Date"].cast(pa.string()), day))
        tiers = own["market_tier"].to_pylist()
        assert one.rows == (*(tiers.count(tier) for tier in (1, 2, 3)), tiers.count(None))
        assert one.members == one.rows[:3]  # the market has no gap
    rates = null_rates(facts.profiles)
    assert list(rates) == ["2024-03", "2024-04"]
    for name, families in rates.items():
        own = table.filter(pc.equal(month, name))
        for family, columns in base_columns().items():
            nulls = sum(own[column].null_count for column in columns)
            assert families[family] == pytest.approx(
                nulls / (own.num_rows * len(columns)), abs=1e-6
            ), (name, family)
        for feature in DRIFT:
            spread = next(p.months[name].spread for p in facts.profiles if name in p.months)
            values = pc.drop_null(own[feature])
            if not len(values):
                assert feature not in spread
                continue
            expected = pc.quantile(values, q=[0.25, 0.5, 0.75]).to_pylist()
            assert spread[feature] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_sources_and_states(built: Home, moment: None) -> None:
    """What it was built from with its age, what it was built without, and that all is well."""
    facts = gathered(built)
    there = {one.source: one for one in facts.sources if one.present}
    assert {"daily_bars", "listed", "topix"} <= set(there)
    assert there["daily_bars"].age_days == pytest.approx(0.0, abs=0.01)
    assert there["daily_bars"].rows
    away = {one.source for one in facts.sources if not one.present}
    assert {"index_option", "futures"} <= away
    assert facts.surface is None
    assert (facts.gate, facts.merge) == (None, None)
    assert [(c.chunk_id, c.state, c.reason) for c in facts.chunks] == [
        (chunk, "completed", None) for chunk in CHUNKS
    ]
    assert not math.isnan(sum(c.rows or 0 for c in facts.chunks))


def test_a_measured_build_is_not_measured_again(
    built: Home, moment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts of the report before carry it; another build is measured."""
    first = gathered(built)
    document = json.loads(json.dumps(kept(first)))
    measured: list[Path] = []
    real = report_facts_reader.profile_of

    def noted(path: Path, *others: Any) -> Any:
        measured.append(path)
        return real(path, *others)

    monkeypatch.setattr(report_facts_reader, "profile_of", noted)
    again = gathered(built, earlier_of(document))
    assert measured == []
    assert again == first
    document["chunks"]["2024Q2"]["build_id"] = "0" * 32
    assert gathered(built, earlier_of(document)) == first
    assert measured == [built.chunks.parquet_path("2024Q2")]


def test_it_is_made_again_for_another_build_and_only_then(built: Home, tmp_path: Path) -> None:
    """Alone it asks nothing; after a rebuild the next report says which chunk is new."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    before = home.facts()
    assert home.run("BuildReport").code == 0
    assert home.facts() == before
    edit(home.chunks.status_path("2024Q1"), build_id="1" * 32)
    edit(home.chunks.metadata_path("2024Q1"), build_id="1" * 32)
    ended = home.run("BuildReport")
    assert ended.code == 0, ended.told
    assert latest(home).receipt["inputs"]["2024Q1"] == "1" * 32
    page = (home.root / "reports/latest.html").read_text("utf-8")
    assert "Rebuilt chunks: 2024Q1" in page
    assert len(list((home.root / "reports").glob("report_*.html"))) == 2


def test_the_command_prints_where_it_is(built: Home, tmp_path: Path) -> None:
    """In the language asked for, with a chunk that cannot be read named on top; without a dataset
    one line says what to do."""
    home = built.copy(tmp_path / "output", *EVERYTHING)
    rewrite(home.chunks.status_path("2024Q2"), b"{}")
    ended = home.g5("report", "--lang", "ja")
    assert ended.code == 0, ended.told
    assert Path(ended.out.strip()) == latest(home).path
    page = latest(home).path.read_text("utf-8")
    assert '<html lang="ja" data-open="ja">' in page
    assert "Chunk 2024Q2: " in page
    assert latest(home).receipt["inputs"]["2024Q2"] is None
    ended = home.g5("report", "--output", str(tmp_path / "nowhere"))
    assert ended.code == 20
    assert "run BuildAll first" in ended.told[-1]
