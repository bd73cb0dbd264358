"""Whatever dialect the vendor speaks, by whichever route: the same tables, or a stop that says why.

Dialects are drawn at random over all open points of the simulator. The dataset follows from the
tables of the snapshots alone, so equal tables are an equal dataset.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from pipeline.api.catalogue.endpoints import ENDPOINTS, Endpoint
from pipeline.cache.snapshots import SnapshotStore, snapshot_key
from pipeline.errors import PipelineError
from pipeline.operations.fetching import source_fetch
from pipeline.operations.fetching.snapshot_range import SnapshotRange
from pipeline.simulator import AppOptions, Market, MarketSpec, serving
from pipeline.simulator.server.app import DEFAULT_API_KEY
from pipeline.simulator.server.dialect import CARELESS, EVIDENCE, PLAIN, Dialect, points
from tests.tasks.commands import FEW_SOURCES, ONE_PROCESS, Home, simulator
from tests.tasks.vendor import settings_at

NOW = "2024-02-08T08:00:00+09:00"
# Two months that are over, and a year; every source has rows on both sides of the change.
START, END = dt.date(2023, 12, 26), dt.date(2024, 1, 10)
SOURCES = tuple(endpoint for endpoint in ENDPOINTS if endpoint.source != source_fetch.CALENDAR)
#: Nine of ten rows are those of derivatives, which have no form of their own: random dialects go
#: without them.
LIGHT = tuple(e for e in SOURCES if e.source not in {"index_option", "futures"})
ROUTES = ("requests", "bulk", "auto")


@pytest.fixture(scope="module")
def market() -> Market:
    market = Market(MarketSpec(8, 18, start=dt.date(2023, 12, 1), end=dt.date(2024, 2, 2)))
    market.warm_up()
    return market


@dataclass(frozen=True)
class Reader:
    """Fetches every source of one market.

    Attributes:
        plain: the tables of the plain dialect, by request.
    """

    market: Market = field(repr=False)
    plain: Mapping[str, pa.Table] = field(repr=False)

    def tables(
        self, dialect: Dialect, route: str, sources: Sequence[Endpoint] = SOURCES
    ) -> dict[str, pa.Table | PipelineError]:
        """The snapshot's rows of every source, or what stopped it."""
        with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
            patch.setenv("JQUANTS_API_KEY", DEFAULT_API_KEY)
            patch.setenv("G5_NOW", NOW)
            now = dt.datetime.fromisoformat(NOW)
            with serving(self.market, AppOptions(dialect=dialect, now=now)) as url:
                patch.setenv("JQUANTS_API_BASE", url)
                return _fetched(Path(folder), route, sources)


def _fetched(
    folder: Path, route: str, sources: Sequence[Endpoint]
) -> dict[str, pa.Table | PipelineError]:
    chosen = settings_at(folder, source_route=route, index_option_parallel_concurrency=8)
    source_fetch.keep_calendar(chosen, source_fetch.fetch_calendar(chosen, END))
    store = SnapshotStore(folder, chosen.origin)
    found: dict[str, pa.Table | PipelineError] = {}
    for endpoint in sources:
        source, wanted = endpoint.source, SnapshotRange(START, END)
        try:
            source_fetch.fetch_snapshot(chosen, source, wanted, "any", lambda _done, _total: None)
        except PipelineError as error:
            found[source] = error
        else:
            found[source] = store.read(
                store.get(source, snapshot_key(source, START, END, None, None))
            )
    return found


@pytest.fixture(scope="module")
def reader(market: Market) -> Reader:
    plain = Reader(market, {}).tables(PLAIN, "requests")
    for source, table in plain.items():
        assert isinstance(table, pa.Table), (source, table)
        assert table.num_rows, source
    return Reader(market, plain)


def dialects() -> st.SearchStrategy[Dialect]:
    choices = {name: st.sampled_from(values) for name, values in points().items()}
    return st.builds(Dialect, **choices)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    derandomize=True,
    deadline=None,
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],  # each example takes seconds: none is made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(EVIDENCE, "auto", SOURCES)
@example(CARELESS, "requests", SOURCES)
@example(CARELESS, "bulk", SOURCES)
@example(CARELESS, "auto", SOURCES)
@example(replace(PLAIN, history="year", nested="columns", codes="number"), "auto", LIGHT)
@given(dialect=dialects(), route=st.sampled_from(ROUTES), sources=st.just(LIGHT))
def test_tables_do_not_depend_on_the_dialect(
    reader: Reader, dialect: Dialect, route: str, sources: Sequence[Endpoint]
) -> None:
    """Equal in every value, or a stop that names source, field, value and record.

    Where files are demanded, a file that does not hold what its name says is named instead.
    """
    found = reader.tables(dialect, route, sources)
    wrong = {}
    for endpoint in sources:
        seen, expected = found[endpoint.source], reader.plain[endpoint.source]
        if isinstance(seen, PipelineError):
            text = str(seen)
            if not (
                names_a_value(endpoint, text) or route == "bulk" and names_a_file(endpoint, text)
            ):
                wrong[endpoint.source] = f"{type(seen).__name__}: {seen}"
        elif differs := difference(spoken(expected, dialect), spoken(seen, dialect)):
            wrong[endpoint.source] = differs
    assert not wrong, (route, odd(dialect), wrong)


def spoken(table: pa.Table, dialect: Dialect) -> pa.Table:
    """Without what the dialect withholds: seconds of ``DiscTime``, or the whole."""
    if "DiscTime" not in table.column_names or dialect.times == "seconds":
        return table
    at = table.column_names.index("DiscTime")
    if dialect.times == "missing":
        return table.remove_column(at)
    return table.set_column(at, "DiscTime", pc.utf8_slice_codeunits(table["DiscTime"], 0, 5))


def difference(expected: pa.Table, seen: pa.Table) -> str:
    """What differs between two tables; "" when nothing does."""
    if seen.num_rows != expected.num_rows:
        return f"{seen.num_rows} rows, expected {expected.num_rows}"
    if seen.schema != expected.schema:
        return f"schema {seen.schema}"
    for name in expected.column_names:
        pairs = zip(expected[name].to_pylist(), seen[name].to_pylist(), strict=True)
        for row, (want, got) in enumerate(pairs):
            if want != got:
                return f"{name}, row {row}: {got!r}, expected {want!r}"
    return ""


def names_a_value(endpoint: Endpoint, message: str) -> bool:
    """Whether a message has the source, a field, its value, and the day or key of the record."""
    fields = "|".join(re.escape(item.outer) for item in endpoint.fields)
    named = endpoint.source in message or endpoint.path in message
    value = re.search(rf"\b({fields})\b.*(expected|unknown|got) .*'", message)
    record = re.search(rf"\b({'|'.join((endpoint.date_field, *endpoint.key))})\b[ =]\S+", message)
    return named and bool(value and record)


def names_a_file(endpoint: Endpoint, message: str) -> bool:
    """Whether a message has the source, the file, what days it holds, and another route."""
    return (
        endpoint.source in message
        and endpoint.file_stem in message
        and re.search(r"rows of \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d", message) is not None
        and "source_route" in message
    )


def odd(dialect: Dialect) -> dict[str, str]:
    """Where a dialect differs from the plain one."""
    return {
        name: getattr(dialect, name)
        for name in points()
        if getattr(dialect, name) != getattr(PLAIN, name)
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_dataset_of_the_careless_dialect_is_the_plain_one(tmp_path: Path) -> None:
    """Margin alerts among the sources, by whichever routes the run chooses: the same bytes."""
    without = set(FEW_SOURCES["UNAVAILABLE_SOURCES"].split(",")) - {"margin_alert"}
    settings_of_run = ONE_PROCESS | {"G5_NOW": NOW, "UNAVAILABLE_SOURCES": ",".join(without)}
    market = ("--seed", "8", "--stocks", "6", "--start", "2023-12-01", "--end", "2024-02-02")
    built = {}
    for dialect in ("plain", "careless"):
        with simulator(*market, "--now", NOW, "--dialect", dialect) as url:
            home = Home(tmp_path / dialect, url, tmp_path, settings_of_run)
            ended = home.run("BuildAll", "--start", "2024-01-04", "--end", "2024-01-12")
        assert ended.code == 0, (dialect, ended.told)
        built[dialect] = home.dataset_path().read_bytes()
    assert built["careless"] == built["plain"]
