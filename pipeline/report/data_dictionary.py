"""The data dictionary: every column of the dataset with its definition.

One list of entries, three forms: Parquet for programs, a page with a search box for people, and
Markdown (base columns only) for the repository, where a change of the catalogue shows as a diff.
"""

from __future__ import annotations

import html as escape
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from string import Template

import pyarrow as pa

from pipeline.features.engine.catalogue import column_schema, features
from pipeline.features.engine.column_spec import Feature
from pipeline.features.engine.transforms import (
    HISTORY,
    SAME_UNIT,
    TRANSFORMS,
    Transform,
    transform_class,
    transforms_of,
)


@dataclass(frozen=True)
class Entry:
    """What there is to know about one column.

    Attributes:
        column: name.
        family: family of the base column.
        base: the base column; the same as ``column`` for base columns.
        transform: suffix of the transform, "" for base columns.
        formula: definition.
        inputs: endpoint fields the base column reads.
        lookback: trading columns before T.
        available: when the newest input is public (JST).
        dtype: stored type.
        unit: unit of the value.
        null_rule: when the value is null.
        reference: what the value is compared with.
    """

    column: str
    family: str
    base: str
    transform: str
    formula: str
    inputs: str
    lookback: int
    available: str
    dtype: str
    unit: str
    null_rule: str
    reference: str


_SHOWN = (
    "column", "formula", "inputs", "lookback", "available", "dtype", "unit", "null_rule",
    "reference",
)  # fmt: skip
_HEADINGS = (
    "column", "formula", "inputs", "look-back", "public", "type", "unit", "null when",
    "compared with",
)  # fmt: skip


def entries() -> list[Entry]:
    """All feature columns, in the order of the dataset."""
    return [
        entry
        for feature in features()
        for entry in (_base(feature), *(_derived(feature, t) for t in transforms_of(feature)))
    ]


def table() -> pa.Table:
    """The entries as a table: one row per feature column."""
    rows = [asdict(entry) for entry in entries()]
    schema = pa.schema(
        [(f.name, pa.int16() if f.name == "lookback" else pa.string()) for f in fields(Entry)]
    )
    return pa.Table.from_pylist(rows, schema)


def html() -> str:
    """The entries as one page that needs nothing else: search box, one section per family."""
    sections = [
        _section(family, list(members))
        for family, members in groupby(entries(), key=lambda entry: entry.family)
    ]
    names = list(dict.fromkeys(feature.family for feature in features()))
    links = " ".join(f'<a href="#{name}">{name}</a>' for name in names)
    total = f"{len(features())} base columns, {len(column_schema()) - 2} feature columns"
    return _PAGE.substitute(total=total, links=links, sections="\n".join(sections))


def markdown() -> str:
    """Every base column with formula, inputs, look-back, type, unit and null rule; then the
    transforms and which columns have them."""
    lines = [
        "# Data dictionary",
        "",
        f"{len(features())} base columns, {len(column_schema()) - 2} feature columns in all,",
        "and the keys `Date` and `Code`.",
        "Generated from the catalogue by `g5 dictionary`; do not edit.",
        "",
    ]
    for family, members in groupby(features(), key=lambda feature: feature.family):
        lines += [
            f"## {family}",
            "",
            _row((*_HEADINGS, "class")),
            "|" + "---|" * (len(_HEADINGS) + 1),
        ]
        for f in members:
            cells = (
                f"`{f.name}`", f.formula, f.inputs, str(f.lookback), f.available, f.dtype, f.unit,
                f.null_rule, f.check, transform_class(f),
            )  # fmt: skip
            lines.append(_row(cells))
        lines.append("")
    lines += [
        "## Transforms",
        "",
        "| suffix | definition | type | unit | null when |",
        "|---|---|---|---|---|",
    ]
    lines += [_row((f"`{t.suffix}`", t.formula, t.dtype, t.unit, t.null_rule)) for t in TRANSFORMS]
    by_class: dict[str, list[str]] = {}
    for f in features():
        by_class.setdefault(transform_class(f), [t.suffix for t in transforms_of(f)])
    lines += ["", "## Classes", ""]
    lines += [
        f"- {kind}: {', '.join(f'`{s}`' for s in suffixes) or 'none'}"
        for kind, suffixes in sorted(by_class.items())
    ]
    return "\n".join(lines) + "\n"


def _base(feature: Feature) -> Entry:
    return Entry(
        column=feature.name,
        family=feature.family,
        base=feature.name,
        transform="",
        formula=feature.formula,
        inputs=feature.inputs,
        lookback=feature.lookback,
        available=feature.available,
        dtype=feature.dtype,
        unit=feature.unit,
        null_rule=feature.null_rule,
        reference=feature.check,
    )


def _derived(feature: Feature, transform: Transform) -> Entry:
    past = HISTORY if transform.group == "time_series" else 0
    return Entry(
        column=feature.name + transform.suffix,
        family=feature.family,
        base=feature.name,
        transform=transform.suffix,
        formula=f"{transform.formula}; x = {feature.name}",
        inputs=feature.inputs,
        lookback=feature.lookback + past,
        available=feature.available,
        dtype=transform.dtype,
        unit=feature.unit if transform.unit == SAME_UNIT else transform.unit,
        null_rule=transform.null_rule,
        reference="brute force",
    )


def _row(cells: Sequence[str]) -> str:
    bar = "\\|"
    return "| " + " | ".join(cell.replace("|", bar) for cell in cells) + " |"


def _section(family: str, members: Sequence[Entry]) -> str:
    head = "".join(f"<th>{text}</th>" for text in _HEADINGS)
    rows = "\n".join(_html_row(entry) for entry in members)
    return (
        f'<section id="{family}"><h2>{family} <small>{len(members)}</small></h2>\n'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></section>"
    )


def _html_row(entry: Entry) -> str:
    kind = "derived" if entry.transform else "base"
    cells = "".join(f"<td>{escape.escape(str(getattr(entry, name)))}</td>" for name in _SHOWN)
    return f'<tr class="{kind}" id="{entry.column}">{cells}</tr>'


_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data dictionary</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #1c2430; }
nav { columns: 12rem; margin: 1rem 0; }
nav a { display: block; color: #2457a5; text-decoration: none; }
input[type=search] { font: inherit; width: 24rem; max-width: 100%; padding: .4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; }
th { position: sticky; top: 0; background: #eef1f5; }
tr { border-top: 1px solid #dfe3e8; }
td:first-child { font-family: ui-monospace, monospace; }
tr.derived td { color: #5c6675; }
[hidden] { display: none; }
</style>
</head>
<body>
<h1>Data dictionary</h1>
<p>$total. A row of date T holds what was public by 08:00 JST on the next trading day.</p>
<p><label>Search <input type="search" id="search" placeholder="name, formula, input"></label>
<label><input type="checkbox" id="derived"> show derived columns</label>
<output id="count"></output></p>
<nav>$links</nav>
$sections
<script>
const rows = [...document.querySelectorAll("tbody tr")];
const texts = rows.map(row => row.textContent.toLowerCase());
const search = document.getElementById("search");
const derived = document.getElementById("derived");
function show() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, i) => {
    const wanted = derived.checked || row.className === "base";
    row.hidden = !(wanted && words.every(word => texts[i].includes(word)));
    shown += row.hidden ? 0 : 1;
  });
  document.querySelectorAll("section").forEach(section => {
    section.hidden = !section.querySelector("tbody tr:not([hidden])");
  });
  document.getElementById("count").textContent = shown + " columns";
}
search.addEventListener("input", show);
derived.addEventListener("change", show);
show();
</script>
</body>
</html>
""")
