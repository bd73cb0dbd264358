"""The third route: bulk files that somebody has downloaded into a folder.

Below the folder they may lie anywhere, in the server's own tree or side by side. Their names are
those of the keys: ``equities_bars_daily_202501.csv.gz``, ``..._20250106.csv.gz``; a file that was
unpacked (``.csv``) is read as well.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.api.bulk import ALL, period_of, wanted
from pipeline.api.endpoints import Endpoint

_SUFFIXES = (".csv.gz", ".csv")


def find_files(folder: Path, endpoint: Endpoint, first: dt.date, last: dt.date) -> dict[str, Path]:
    """Files of an endpoint that hold rows of [first, last], by period, oldest first.

    Of two files of the same period the one changed last counts: a month fetched again.
    Read them with ``read_csv``. Periods are those of ``bulk.list_files``.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob(f"{endpoint.file_stem}*.csv*"), key=_changed):
        period = _period(path, endpoint)
        if period:
            found[period] = path
    return {
        ALL if endpoint.one_file else period: found[period]
        for period in wanted(found, first, last, endpoint)
    }


def _changed(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, str(path)


def _period(path: Path, endpoint: Endpoint) -> str:
    """The period of a file; "" when it is another endpoint's, or no bulk file."""
    suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
    period = period_of(path.name)
    stem = path.name.removesuffix(suffix)
    spelled = "" if period == ALL else "_" + period.replace("-", "")
    is_ours = stem.replace("-", "") == endpoint.file_stem + spelled
    return period if suffix and is_ours and path.is_file() else ""
