"""The data dictionary: the catalogue as a document for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pipeline.features.catalog import column_schema, features
from pipeline.features.transforms import TRANSFORMS, transform_class, transforms_of


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
            "| column | formula | inputs | look-back | public | type | unit | null when | class |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for f in members:
            cells = (
                f"`{f.name}`", f.formula, f.inputs, str(f.lookback), f.available, f.dtype, f.unit,
                f.null_rule, transform_class(f),
            )  # fmt: skip
            lines.append(_row(cells))
        lines.append("")
    lines += [
        "## Transforms",
        "",
        "| suffix | definition | type | null when |",
        "|---|---|---|---|",
    ]
    lines += [_row((f"`{t.suffix}`", t.formula, t.dtype, t.null_rule)) for t in TRANSFORMS]
    by_class: dict[str, list[str]] = {}
    for f in features():
        by_class.setdefault(transform_class(f), [t.suffix for t in transforms_of(f)])
    lines += ["", "## Classes", ""]
    lines += [
        f"- {kind}: {', '.join(f'`{s}`' for s in suffixes) or 'none'}"
        for kind, suffixes in sorted(by_class.items())
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    bar = "\\|"
    return "| " + " | ".join(cell.replace("|", bar) for cell in cells) + " |"
