"""Parameter types."""

from __future__ import annotations

import datetime as dt

import luigi


class OptionalDate(luigi.Parameter["dt.date | None"]):
    """A date, YYYY-MM-DD, that may be left out; ``none`` says so."""

    def parse(self, text: str) -> dt.date | None:
        return None if text == "none" else dt.date.fromisoformat(text)

    def serialize(self, value: dt.date | None) -> str:
        return "none" if value is None else value.isoformat()

    def _warn_on_wrong_param_type(self, _name: str, _value: object) -> None:
        """Luigi would warn of every value that is no text."""


def switch(*, default: bool) -> luigi.BoolParameter:
    """A flag that can be written bare (``--resume``) and with a value (``--resume false``)."""
    return luigi.BoolParameter(default=default, parsing=luigi.BoolParameter.EXPLICIT_PARSING)
