"""The data dictionary."""

from pipeline.features.catalog import features
from pipeline.features.transforms import TRANSFORMS
from pipeline.report.dictionary import markdown
from pipeline.storage.documents import schema_folder


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
