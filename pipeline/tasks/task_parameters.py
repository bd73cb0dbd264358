"""Parameter types: a malformed value on the command line is one line and exit code 2.

``read`` raises instead, for callers that know the place of the value.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import luigi

from pipeline.errors import UsageError
from pipeline.operations.planning import run_plan
from pipeline.operations.planning.year_filter import read_years


class Day(luigi.DateParameter):
    """A date, YYYY-MM-DD."""

    def read(self, text: str) -> dt.date:
        return _date(text)

    def parse(self, text: str) -> dt.date:
        with run_plan.reported():
            return self.read(text)


class OptionalDay(luigi.Parameter["dt.date | None"]):
    """A date, YYYY-MM-DD, or ``none``."""

    def read(self, text: str) -> dt.date | None:
        return None if text == "none" else _date(text)

    def parse(self, text: str) -> dt.date | None:
        with run_plan.reported():
            return self.read(text)

    def serialize(self, value: dt.date | None) -> str:
        return "none" if value is None else value.isoformat()

    def _warn_on_wrong_param_type(self, _name: str, _value: object) -> None:
        """Luigi would warn of every value that is no text."""


class OptionalYears(luigi.Parameter["tuple[int, ...] | None"]):
    """Years such as ``2020,2021``, or ``none``."""

    def read(self, text: str) -> tuple[int, ...] | None:
        return None if text == "none" else read_years(text)

    def parse(self, text: str) -> tuple[int, ...] | None:
        with run_plan.reported():
            return self.read(text)

    def serialize(self, value: tuple[int, ...] | None) -> str:
        return "none" if value is None else ",".join(map(str, value))

    def _warn_on_wrong_param_type(self, _name: str, _value: object) -> None:
        """Luigi would warn of every value that is no text."""


class Count(luigi.IntParameter):
    """A whole number."""

    def read(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"parameter {text!r}: expected a whole number") from None

    def parse(self, text: str) -> int:
        with run_plan.reported():
            return self.read(text)


class Switch(luigi.BoolParameter):
    """A flag that can be written bare (``--resume``) and with a value (``--resume false``)."""

    def __init__(self, *, default: bool, **options: Any) -> None:
        super().__init__(default=default, parsing=self.EXPLICIT_PARSING, **options)

    def read(self, text: Any) -> bool:
        try:
            return bool(super().parse(text))
        except ValueError:
            raise UsageError(f"parameter {text!r}: expected true or false") from None

    def parse(self, text: Any) -> bool:
        with run_plan.reported():
            return self.read(text)


def _date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise UsageError(f"parameter {text!r}: expected a date, YYYY-MM-DD") from None
