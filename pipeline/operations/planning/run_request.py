"""The parameters of ``BuildAll`` as the configuration in force gives them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """The parameters of ``BuildAll`` by the configuration in force.

    Attributes:
        start, end: None where no file says.
    """

    start: dt.date | None
    end: dt.date | None
    chunk_months: int
    resume: bool
    force: bool
    latest_only: bool
    refresh_listed: bool
