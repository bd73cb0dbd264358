"""The data dictionary."""

from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.features.engine.catalogue import column_schema, features
from pipeline.features.engine.transforms import TRANSFORMS
from pipeline.filesystem.documents import schema_folder
from pipeline.report import data_dictionary
from pipeline.report.data_dictionary import entries, markdown


def test_the_committed_dictionary_is_the_one_the_catalogue_gives():
    """A change of the catalogue shows in the document people read."""
    assert (schema_folder() / "data_dictionary.md").read_text("utf-8") == markdown()


def test_every_base_column_and_transform_is_named_once():
    """No column is without its definition."""
    lines = markdown().splitlines()
    for name in [f.name for f in features()] + [t.suffix for t in TRANSFORMS]:
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1


def test_a_bar_in_a_formula_does_not_break_the_table():
    """Every row of a table has the same number of cells as its header."""
    cells = None
    for line in markdown().splitlines():
        if not line.startswith("|"):
            cells = None
            continue
        count = line.replace("\\|", "").count("|")
        assert cells in (None, count), line
        cells = count


def test_the_entries_are_the_columns_of_the_dataset_in_order():
    """Names and types as a chunk has them; no field but the transform is ever empty."""
    types = {pa.float32(): "float32", pa.int8(): "int8", pa.int16(): "int16"}
    columns = [(field.name, types[field.type]) for field in list(column_schema())[2:]]
    assert [(entry.column, entry.dtype) for entry in entries()] == columns
    for entry in entries():
        values = vars(entry) | {"transform": "."}
        assert all(value != "" for value in values.values()), entry


def test_a_derived_column_says_what_it_is_made_of():
    """Formula with the base column, twenty more columns of history, the unit of what it is."""
    by_name = {entry.column: entry for entry in entries()}
    base, mean, rank = (
        by_name[f"ret_prev_5d{suffix}"] for suffix in ("", "_roll_mean_20d", "_cs_rank")
    )
    assert mean.formula.endswith("x = ret_prev_5d")
    assert (mean.lookback, rank.lookback) == (base.lookback + 20, base.lookback)
    assert (mean.unit, rank.unit) == (base.unit, "rank from 1")


class Rows(HTMLParser):
    """Ids and cells of the table rows of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "tr" and names.get("id"):
            self.rows[str(names["id"])] = []
        elif tag == "td":
            self.rows[next(reversed(self.rows))].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and (cells := self.rows[next(reversed(self.rows))]):
            cells[-1] += data


def test_the_page_has_a_row_for_every_column(tmp_path):
    """The formula arrives as it is written, whatever signs are in it."""
    page = tmp_path / "dictionary.html"
    assert cli.main(["dictionary", "--output", str(page)]) == 0
    reader = Rows()
    reader.feed(page.read_text("utf-8"))
    assert list(reader.rows) == [entry.column for entry in entries()]
    for entry in entries():
        assert reader.rows[entry.column][1].strip() == entry.formula


def test_the_parquet_form_has_every_entry(tmp_path):
    """One row per column; a program can join it on the column name."""
    file = tmp_path / "dictionary.parquet"
    assert cli.main(["dictionary", "--output", str(file)]) == 0
    assert pq.read_table(file).to_pylist() == [vars(entry) for entry in entries()]


def test_another_form_is_refused(tmp_path, capsys):
    """One line that names what would do; nothing is written."""
    assert cli.main(["dictionary", "--output", str(tmp_path / "dictionary.pdf")]) == 2
    assert ".md, .html, .parquet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_documents_are_the_same_every_time(form):
    """No date and no path in them."""
    make = getattr(data_dictionary, form)
    assert make() == make()
