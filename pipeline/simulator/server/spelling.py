"""Rows in a dialect: the last step before they become JSON or CSV.

Which rows and cells are affected follows from the market's seed and from the row itself, so that
the same row is spelled alike by every route and in every order of requests.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np

from pipeline.simulator.companies.summary_rows import DATES as SUMMARY_DATES
from pipeline.simulator.companies.summary_rows import FIELDS as SUMMARY_FIELDS
from pipeline.simulator.companies.summary_rows import FLAGS, HEAD
from pipeline.simulator.server.endpoint_table import ENDPOINTS, Endpoint, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipeline.simulator.array_types import BoolArray, Columns
    from pipeline.simulator.server.dialect import Dialect

NESTED: Final = {"/markets/margin-alert": "PubReason"}
WITHOUT_KEY: Final = "/markets/short-sale-report"
_CODES: Final = {
    "/markets/calendar": "HolDiv",
    "/equities/master": "Code S17 S33 Mkt Mrgn ProdCat",
    "/equities/bars/daily": "Code",
    "/equities/valuation": "Code",
    "/indices/bars/daily": "Code",
    "/fins/summary": "Code",
    "/fins/dividend": "Code",
    "/fins/earnings-date": "Code",
    "/markets/margin-interest": "Code IssType",
    "/markets/margin-alert": "Code TSEMrgnRegCls",
    "/markets/short-ratio": "S33",
    "/markets/short-sale-report": "Code",
    "/markets/breakdown": "Code",
    "/derivatives/bars/daily/options/225": "EmMrgnTrgDiv PCDiv",
    "/derivatives/bars/daily/futures": "EmMrgnTrgDiv CCMFlag",
}
_PADDED: Final = {
    "/equities/master": "S33 Mkt ProdCat",
    "/markets/margin-alert": "TSEMrgnRegCls",
    "/markets/short-ratio": "S33",
    "/derivatives/bars/daily/options/225": "EmMrgnTrgDiv",
    "/derivatives/bars/daily/futures": "EmMrgnTrgDiv",
}
_LIMITS: Final = ("UL", "LL", "MUL", "MLL", "AUL", "ALL")
#: Numbers that the server sends as text, or as text where there is none.
_TEXT_NUMBERS: Final = {
    "/fins/summary": " ".join({*SUMMARY_FIELDS} - {*HEAD, *SUMMARY_DATES, *FLAGS}),
    "/fins/dividend": "DivRate DistAmt RetEarn DeemDiv DeemCapGains NetAssetDecRatio CommDivRate"
    " SpecDivRate",
    "/markets/margin-alert": "ShrtOutChg ShrtOutRatio LongOutChg LongOutRatio ShrtNegOutChg"
    " ShrtStdOutChg LongNegOutChg LongStdOutChg",
}
_MARKS: Final = {"null": None, "empty": "", "dash": "-", "star": "*", "wide": "－"}
_BLANK: Final = frozenset({"", "-", "*"})
_ROW_NAMES = 5  # fields, counted from the first, that tell rows apart
_REPEATED, _WITHOUT_PADDING, _WITHOUT_TIME = 0.03, 0.4, 0.3  # shares of rows


class Speller:
    """Spells rows of any endpoint.

    Args:
        dialect: how.
        seed: of the market.
    """

    def __init__(self, dialect: Dialect, seed: int) -> None:
        self._dialect, self._seed = dialect, seed

    def rows(self, endpoint: Endpoint, columns: Columns) -> Columns:
        """Columns as the API sends them; those that the dialect leaves alone are the same arrays.

        A column the dialect changes holds objects, in which missing values are written already.
        """
        said = self._dialect
        if not len(next(iter(columns.values()))):
            return columns
        named = [field.name for field in endpoint.fields[:_ROW_NAMES]]
        rows = _Rows(f"{self._seed}{endpoint.path}", [columns[name] for name in named])
        spelled = dict(columns)
        if said.numbers == "text" or said.blanks != "specified":
            spelled |= self._numbers(endpoint, columns, rows)
        if endpoint.path == "/equities/bars/daily" and said.limits != "text":
            kind = int if said.limits == "number" else _boolean
            spelled |= {name: _each(columns[name], kind) for name in _LIMITS}
        if said.flags != "text":
            spelled |= self._flags(endpoint.path, columns)
        if said.padding != "full":
            for name in _PADDED.get(endpoint.path, "").split():
                bare = _each(columns[name], _unpadded)
                some = said.padding == "mixed"
                chosen = rows.share("padding", _WITHOUT_PADDING) if some else True
                spelled[name] = np.where(chosen, bare, columns[name])
        if said.codes == "number":
            for name in _CODES.get(endpoint.path, "").split():
                spelled[name] = _each(columns[name], _number)
        if endpoint.path == "/fins/summary" and said.times != "seconds":
            spelled["DiscTime"] = self._times(columns["DiscTime"], rows)
        if said.repeats == "some" and endpoint.path != WITHOUT_KEY:
            times = 1 + rows.share("repeats", _REPEATED).astype(np.int64)
            spelled = {name: np.repeat(values, times) for name, values in spelled.items()}
        return spelled

    def cells(
        self, endpoint: Endpoint, columns: Columns, fields: Sequence[Field]
    ) -> tuple[Columns, list[Field]]:
        """Columns and header of a CSV file with at least one row.

        Nested values are text, or columns of their own.
        """
        spelled, header = dict(self.rows(endpoint, columns)), list(fields)
        name = NESTED.get(endpoint.path)
        if name is None or self._dialect.nested == "json":
            return spelled, header
        values = spelled[name]
        if self._dialect.nested == "python":
            spelled[name] = _each(values, str)
            return spelled, header
        inner = {f"{name}.{key}": key for key in values[0]}
        for full, key in inner.items():
            spelled[full] = _each(values, itemgetter(key))
        at = [field.name for field in header].index(name)
        header[at : at + 1] = [Field(full) for full in inner]
        return spelled, header

    def _numbers(self, endpoint: Endpoint, columns: Columns, rows: _Rows) -> Columns:
        """All numbers of an endpoint, as objects."""
        said, as_text = self._dialect, self._dialect.numbers == "text"
        mixed = _TEXT_NUMBERS.get(endpoint.path, "").split()
        spelled = {}
        for field in endpoint.fields:
            values = columns[field.name]
            if values.dtype == object:
                if field.name not in mixed:
                    continue
                missing = np.array([v is None or v in _BLANK for v in values.tolist()])
            else:
                missing = np.isnan(values)
            made = values.astype(object)
            if as_text:
                made[~missing] = [v if isinstance(v, str) else repr(v) for v in made[~missing]]
            if said.blanks == "mixed":
                made[missing] = rows.marks(field.name)[missing]
            elif said.blanks != "specified":
                made[missing] = _MARKS[said.blanks]
            elif values.dtype != object:
                made[missing] = field.missing
            spelled[field.name] = made
        return spelled

    def _flags(self, path: str, columns: Columns) -> Columns:
        kind = _boolean if self._dialect.flags == "boolean" else lambda text: int(_boolean(text))

        def spelled(text: str) -> object:
            return kind(text) if text else text

        if path == "/fins/summary":
            return {name: _each(columns[name], spelled) for name in FLAGS}
        name = NESTED.get(path)
        if name is None:
            return {}
        return {
            name: _each(columns[name], lambda v: {key: spelled(text) for key, text in v.items()})
        }

    def _times(self, times: NDArray[Any], rows: _Rows) -> NDArray[Any]:
        minutes = _each(times, lambda text: text[:5])
        if self._dialect.times == "minutes":
            return minutes
        if self._dialect.times == "missing":
            return np.where(rows.share("times", _WITHOUT_TIME), "", times)
        return np.where(rows.share("times", 0.5), minutes, times)


class _Rows:
    """What tells rows apart, and lots drawn by it."""

    def __init__(self, label: str, names: Sequence[NDArray[Any]]) -> None:
        parts = zip(*(column.tolist() for column in names), strict=True)
        self._texts = [f"{label}{part}".encode() for part in parts]

    def share(self, point: str, share: float) -> BoolArray:
        """True for about this share of the rows."""
        return self._lots(point) < share * 2**32

    def marks(self, point: str) -> NDArray[Any]:
        """A mark for a missing number in each row."""
        marks = np.array(list(_MARKS.values()), dtype=object)
        chosen: NDArray[Any] = marks[self._lots(point) % marks.size]
        return chosen

    def _lots(self, point: str) -> NDArray[np.int64]:
        start = crc32(point.encode())
        return np.array([crc32(text, start) for text in self._texts], dtype=np.int64)


def _each(values: NDArray[Any], change: Callable[[Any], object]) -> NDArray[Any]:
    """A column of changed objects; None stays."""
    made = np.empty(values.size, dtype=object)
    made[:] = [None if value is None else change(value) for value in values.tolist()]
    return made


def _boolean(text: str) -> bool:
    return text in ("1", "true")


def _unpadded(text: str) -> str:
    return text.lstrip("0") or "0"


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() else text


assert ENDPOINTS.keys() >= {*_CODES, *_PADDED, *_TEXT_NUMBERS, *NESTED}
