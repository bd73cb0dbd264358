"""The third route: bulk files that somebody has downloaded into a folder.

Below the folder they may lie anywhere, in the server's own tree or side by side. Their names are
those of the keys: ``equities_bars_daily_202501.csv.gz``, ``..._20250106.csv.gz``; a file that was
unpacked (``.csv``) is read as well.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.api.bulk import ALL, is_of, period_of, wanted
from pipeline.api.catalogue.endpoints import Endpoint

_SUFFIXES = (".csv.gz", ".csv")


def find_files(folder: Path, endpoint: Endpoint, first: dt.date, last: dt.date) -> dict[str, Path]:
    """Files of an endpoint that hold rows of [first, last], by period, oldest first.

    Of two files of the same period the one changed last counts: a month fetched again.
    Read them with ``read_csv``. Periods are those of ``bulk.list_files``.
    """
    found: dict[str, Path] = {}
    ours = (
        path
        for path in folder.rglob("*")
        if path.name.endswith(_SUFFIXES) and path.is_file() and is_of(endpoint, path.name)
    )
    for path in sorted(ours, key=_changed):
        found[period_of(path.name)] = path
    return {
        ALL if endpoint.one_file else period: found[period]
        for period in wanted(found, first, last, endpoint)
    }


def _changed(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, str(path)
