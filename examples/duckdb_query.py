"""A query over the latest dataset and its labels, in DuckDB.

    pip install -e '.[examples]'
    python examples/duckdb_query.py --root output [--sql FILE]

The query is ``query.sql`` beside this file. Names in it that begin with ``label_`` know the future
of their row: for judging a feature, never for making one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a query over the dataset and its labels.")
    parser.add_argument("--root", type=Path, default=Path("output"), help="output root")
    parser.add_argument("--sql", type=Path, default=Path(__file__).with_name("query.sql"))
    args = parser.parse_args()
    if not (args.root / "labels" / "labels.json").is_file():
        raise SystemExit(f"{args.root}: no dataset with labels; run BuildAll, or name its --root")
    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE root = ?", [str(args.root)])
        found = connection.execute(args.sql.read_text(encoding="utf-8"))
        names = [column[0] for column in found.description]
        print(*(f"{name:>10}" for name in names))
        for row in found.fetchall():
            print(*(f"{value!s:>10}" for value in row))


if __name__ == "__main__":
    main()
