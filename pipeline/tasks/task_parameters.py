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


class _Reported:
    """Parses by ``read``, for the command line."""

    def read(self, text: str) -> Any:
        """The value.

        Raises:
            UsageError: it is malformed.
        """
        raise NotImplementedError

    def parse(self, text: Any) -> Any:
        with run_plan.reported():
            return self.read(text)


class _Optional(_Reported):
    """A value or ``none``."""

    def _warn_on_wrong_param_type(self, _name: str, _value: object) -> None:
        """Luigi would warn of every value that is no text."""


class Day(_Reported, luigi.DateParameter):
    """A date, YYYY-MM-DD."""

    def read(self, text: str) -> dt.date:
        return _date(text)


class OptionalDay(_Optional, luigi.Parameter["dt.date | None"]):
    """A date, YYYY-MM-DD, or ``none``."""

    def read(self, text: str) -> dt.date | None:
        return None if text == "none" else _date(text)

    def serialize(self, value: dt.date | None) -> str:
        return "none" if value is None else value.isoformat()


class OptionalYears(_Optional, luigi.Parameter["tuple[int, ...] | None"]):
    """Years such as ``2020,2021``, or ``none``."""

    def read(self, text: str) -> tuple[int, ...] | None:
        return None if text == "none" else read_years(text)

    def serialize(self, value: tuple[int, ...] | None) -> str:
        return "none" if value is None else ",".join(map(str, value))


class Count(_Reported, luigi.IntParameter):
    """A whole number."""

    def read(self, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise UsageError(f"parameter {text!r}: expected a whole number") from None


class Switch(_Reported, luigi.BoolParameter):
    """A flag that can be written bare (``--resume``) and with a value (``--resume false``)."""

    def __init__(self, *, default: bool, **options: Any) -> None:
        super().__init__(default=default, parsing=self.EXPLICIT_PARSING, **options)

    def read(self, text: Any) -> bool:
        try:
            return bool(luigi.BoolParameter.parse(self, text))
        except ValueError:
            raise UsageError(f"parameter {text!r}: expected true or false") from None


def _date(text: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise UsageError(f"parameter {text!r}: expected a date, YYYY-MM-DD") from None
