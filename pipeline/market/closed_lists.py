"""The closed lists: every coded field that is read, its members, and what an unknown one means.

A field with a closed list is never read with a default: a new segment of the market would look
like *not in the universe*, and its rows would vanish. Each list says what happens instead:

=============== ===================== ======= ==============================================
source          field                 unknown then
=============== ===================== ======= ==============================================
trading_calendar HolDiv               refuse  a session could be missing
listed          Code                  refuse  a share could be missing (form of the code)
listed          Mkt                   refuse  of codes that end in 0; blank too
listed          S33                   refuse  of those in a market tier; blank too
listed          S17, ScaleCat, Mrgn   null    an attribute; the row's place does not hang on it
short_ratio     S33                   refuse  part of the key; blank too
fin_summary     DocType               null    the filing is not read, neither book nor forecast
fin_summary     CurPerType            null    the filing is of no fiscal quarter
dividend        StatCode              null    the notice says nothing, nor does the one before it
investor_types  Section               null    the row belongs to no section
earnings_date   FQName                null    the row is a report of its own
margin_alert    TSEMrgnRegCls         null    an attribute
margin_alert    PubReason.*ByJSF      null    an attribute
daily_bars      UL, LL                null    the limit counts as not touched
index_option    PCDiv, EmMrgnTrgDiv   null    the row is left out
futures         EmMrgnTrgDiv          null    the row is left out
futures         CCMFlag               null    the contract counts as not the central one
=============== ===================== ======= ==============================================

*refuse* is an ``UnknownMember``; *null* is named in the warnings of the chunk, which gate, report
and ``g5 health`` pass on. Open lists (index codes, products of futures) are no part of this: what
is wanted of them is named, the rest is other people's business.

Members are those of the J-Quants API v2 specification as of September 2026. Guess: any known
period, scope and standard may come together in a ``DocType``, although the vendor lists only 45
of these combinations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import SnapshotError
from pipeline.market.texts import encoded

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
Unknown: TypeAlias = Literal["refuse", "null"]

NONE: Final = math.nan  # number of a valid member that stands for none

_HINT = (
    "rows of an unknown member cannot be placed: if the value is damaged, delete the part in the "
    "cache folder of the source and run again; if the vendor has introduced it, "
    "pipeline/market/closed_lists.py has to learn it"
)


class UnknownMember(SnapshotError):
    """A coded field holds what is in no list of its members.

    Attributes:
        source, field, value: what is unknown.
        record: which row holds it first, such as ``13010 on 2024-05-10``.
        rows: how many rows hold an unknown value of the field.
    """

    def __init__(self, source: str, field: str, value: str, record: str, rows: int) -> None:
        more = f" and {rows - 1} more rows" if rows > 1 else ""
        super().__init__(
            f"{source}: {field} {value!r} of {record}{more}: no known member of its list", _HINT
        )
        self.source = source
        self.field = field
        self.value = value
        self.record = record
        self.rows = rows


@dataclass(frozen=True)
class ClosedList:
    """A coded field and everything it may hold.

    Attributes:
        source, field: where it is found.
        members: number of each member; NaN for those that stand for none.
        unknown: what happens to a value that is none of them.
        width: digits of a member; shorter ones get their leading zeros back. 0: members have no
            leading zeros, and surplus ones go.
        record: columns that name a row in a message.
        blank: False where every row must have a value.
    """

    source: str
    field: str
    members: Mapping[str, float]
    unknown: Unknown
    width: int = 0
    record: tuple[str, ...] = ("Code", "Date")
    blank: bool = True

    def member(self, text: str) -> str:
        """The text with the padding of a member; it need not be one."""
        if not (text.isascii() and text.isdigit()):
            return text
        return text.zfill(self.width) if self.width else text.lstrip("0") or "0"

    def knows(self, text: str) -> bool:
        """True for a member, and for a missing value where one may be missing."""
        return self.member(text) in self.members or (text == "" and self.blank)

    def number(self, text: str) -> float:
        """Number of a member, however it is padded; NaN for none, nothing and the unknown."""
        return self.members.get(self.member(text), math.nan)

    def decode(self, column: pa.ChunkedArray[Any]) -> FloatArray:
        """(rows,) numbers of a column; NaN for none, nothing and the unknown."""
        index, texts = encoded(column)
        return np.array([self.number(text) for text in texts], dtype=np.float64)[index]

    def known(self, column: pa.ChunkedArray[Any]) -> BoolArray:
        """(rows,) True for members; not for nothing."""
        index, texts = encoded(column)
        return np.array([self.member(text) in self.members for text in texts], dtype=bool)[index]

    def normalised(self, column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
        """(rows,) members with their padding; an unknown value stays as it is, null is blank."""
        index, texts = encoded(column)
        members = pa.array([self.member(text) for text in texts], pa.string())
        return pa.chunked_array([members.take(pa.array(index))], pa.string())

    def unknown_rows(self, table: pa.Table) -> BoolArray:
        """(rows,) True where the value is no member."""
        index, texts = encoded(table[self.field])
        return ~np.array([self.knows(text) for text in texts], dtype=bool)[index]

    def refuse_unknown(self, table: pa.Table, needed: BoolArray | None = None) -> None:
        """See that every row, or every needed one, holds a member.

        Raises:
            UnknownMember: one does not.
        """
        wrong = self.unknown_rows(table)
        if needed is not None:
            wrong &= needed
        if wrong.any():
            raise self._error(table, wrong)

    def unknown_line(self, table: pa.Table) -> str | None:
        """What is to be said of unknown members, one line; None when there are none."""
        wrong = self.unknown_rows(table)
        if not wrong.any():
            return None
        error = self._error(table, wrong)
        return f"{error.message}; counted as null"

    def _error(self, table: pa.Table, wrong: BoolArray) -> UnknownMember:
        rows = np.flatnonzero(wrong)
        row = int(rows[0])
        value = table[self.field][row].as_py()
        names = [name for name in self.record if name in table.column_names]
        record = " on ".join(str(table[name][row].as_py()) for name in names) or f"row {row}"
        return UnknownMember(self.source, self.field, value or "", record, rows.size)


def _codes(width: int, *numbers: int) -> dict[str, float]:
    return {str(number).zfill(width): float(number) for number in numbers}


#: The segments before and after the reorganisation of 2022-04-04 share a tier, so that a series
#: does not break there.
MARKET_TIERS: Final[Mapping[str, float]] = {
    "0101": 1.0,  # first section
    "0111": 1.0,  # Prime
    "0102": 2.0,  # second section
    "0106": 2.0,  # JASDAQ Standard
    "0112": 2.0,  # Standard
    "0104": 3.0,  # Mothers
    "0107": 3.0,  # JASDAQ Growth
    "0113": 3.0,  # Growth
}
_OTHER_MARKETS: Final = {"0105": NONE, "0109": NONE}  # PRO market; ETF, REIT and others

MARKET: Final = ClosedList(
    "listed", "Mkt", {**MARKET_TIERS, **_OTHER_MARKETS}, "refuse", width=4, blank=False
)

_INDUSTRIES: Final = _codes(
    4, 50, 1050, 2050, 3050, 3100, 3150, 3200, 3250, 3300, 3350, 3400, 3450, 3500, 3550, 3600,
    3650, 3700, 3750, 3800, 4050, 5050, 5100, 5150, 5200, 5250, 6050, 6100, 7050, 7100, 7150, 7200,
    8050, 9050,
)  # fmt: skip
INDUSTRY: Final = ClosedList(
    "listed", "S33", {**_INDUSTRIES, "9999": NONE}, "refuse", width=4, blank=False
)
SHORT_INDUSTRY: Final = ClosedList(
    "short_ratio", "S33", INDUSTRY.members, "refuse", width=4, record=("Date",), blank=False
)
SECTOR17: Final = ClosedList("listed", "S17", {**_codes(1, *range(1, 18)), "99": NONE}, "null")
SCALE: Final = ClosedList(
    "listed",
    "ScaleCat",
    {
        "TOPIX Core30": 5.0,
        "TOPIX Large70": 4.0,
        "TOPIX Mid400": 3.0,
        "TOPIX Small 1": 2.0,
        "TOPIX Small 2": 1.0,
        "-": 0.0,
    },
    "null",
)
MARGIN_CLASS: Final = ClosedList("listed", "Mrgn", _codes(1, 1, 2, 3), "null")

#: Number: 1 where shares are traded.
HOLIDAY: Final = ClosedList(
    "trading_calendar",
    "HolDiv",
    {"0": 0.0, "1": 1.0, "2": 1.0, "3": 0.0},  # closed, open, half day, derivatives only
    "refuse",
    record=("Date",),
    blank=False,
)

PERIODS: Final = ("FY", "1Q", "2Q", "3Q", "OtherPeriod")
SCOPES: Final = ("Consolidated", "NonConsolidated")
STANDARDS: Final = {"JP": 1.0, "IFRS": 2.0, "US": 3.0, "JMIS": 4.0, "Foreign": 5.0, "REIT": 6.0}
#: Number of a statement: its accounting standard. Revisions have none.
DOCUMENT: Final = ClosedList(
    "fin_summary",
    "DocType",
    {
        **{
            f"{period}FinancialStatements_{scope}_{standard}": number
            for period, scope, (standard, number) in product(PERIODS, SCOPES, STANDARDS.items())
        },
        **dict.fromkeys(
            (
                "EarnForecastRevision",
                "DividendForecastRevision",
                "REITEarnForecastRevision",
                "REITDividendForecastRevision",
            ),
            NONE,
        ),
    },
    "null",
    record=("Code", "DiscDate"),
)
#: Number of the fiscal quarter; a fourth and a fifth one, after a change of the fiscal year end,
#: have no place in a year of four.
PERIOD: Final = ClosedList(
    "fin_summary",
    "CurPerType",
    {"1Q": 1.0, "2Q": 2.0, "3Q": 3.0, "FY": 4.0, "4Q": NONE, "5Q": NONE},
    "null",
    record=("Code", "DiscDate"),
)
#: Number: 1 for a notice that says something, NaN for a deletion.
NOTICE: Final = ClosedList(
    "dividend", "StatCode", {"1": 1.0, "2": 1.0, "3": NONE}, "null", record=("Code", "PubDate")
)
SECTION: Final = ClosedList(
    "investor_types",
    "Section",
    dict.fromkeys(
        (
            *("TSE1st", "TSE2nd", "TSEMothers", "TSEJASDAQ"),
            *("TSEPrime", "TSEStandard", "TSEGrowth", "TokyoNagoya"),
        ),
        1.0,
    ),
    "null",
    record=("PubDate",),
)
FISCAL_QUARTER: Final = ClosedList(
    "earnings_date",
    "FQName",
    {"1Q": 1.0, "2Q": 2.0, "3Q": 3.0, "FY": 4.0, "4Q": NONE, "5Q": NONE},
    "null",
    record=("Code", "PubDate"),
)
REGULATION: Final = ClosedList(
    "margin_alert",
    "TSEMrgnRegCls",
    _codes(3, 1, 2, 3, 4, 5, 6, 101, 102),
    "null",
    width=3,
    record=("Code", "PubDate"),
)
_FLAG: Final = {"0": 0.0, "1": 1.0}
JSF_RESTRICTED, JSF_PRECAUTION = (
    ClosedList("margin_alert", f"PubReason.{name}", _FLAG, "null", record=("Code", "PubDate"))
    for name in ("RestrictedByJSF", "PrecautionByJSF")
)
LIMIT_UP, LIMIT_DOWN = (ClosedList("daily_bars", name, _FLAG, "null") for name in ("UL", "LL"))

#: Number: 1 for the record of the settlement, 0 for the repetition of an emergency margin call.
SETTLEMENT, OPTION_SETTLEMENT = (
    ClosedList(source, "EmMrgnTrgDiv", {"001": 0.0, "002": 1.0}, "null", width=3)
    for source in ("futures", "index_option")
)
CENTRAL_MONTH: Final = ClosedList("futures", "CCMFlag", _FLAG, "null")
#: Number: 1 for a call, 0 for a put.
CALL: Final = ClosedList("index_option", "PCDiv", {"1": 0.0, "2": 1.0}, "null")

LISTS: Final[Sequence[ClosedList]] = (
    *(HOLIDAY, MARKET, INDUSTRY, SECTOR17, SCALE, MARGIN_CLASS, SHORT_INDUSTRY),
    *(DOCUMENT, PERIOD, NOTICE, SECTION, FISCAL_QUARTER),
    *(REGULATION, JSF_RESTRICTED, JSF_PRECAUTION, LIMIT_UP, LIMIT_DOWN),
    *(SETTLEMENT, OPTION_SETTLEMENT, CENTRAL_MONTH, CALL),
)


def unknown_lines(source: str, table: pa.Table) -> Iterator[str]:
    """What is unknown in the rows of a source and counts as null, one line for each field.

    Args:
        table: rows with any of the columns of the source.
    """
    for known in LISTS:
        if known.source == source and known.unknown == "null" and known.field in table.column_names:
            line = known.unknown_line(table)
            if line is not None:
                yield line
