"""Disclosures as the API tells them: 111 fields, every value a text, blanks for what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.simulator.array_types import iso_dates
from pipeline.simulator.companies.company_traits import STANDARDS
from pipeline.simulator.companies.disclosures import (
    CORRECTION,
    DIVIDEND_REVISION,
    FIGURES,
    FORECAST_REVISION,
)
from pipeline.simulator.companies.event_records import Records, moment, sorted_records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.simulator.array_types import (
        BoolArray,
        Columns,
        DateArray,
        FloatArray,
        IntArray,
        TextArray,
    )
    from pipeline.simulator.companies.company_traits import Companies
    from pipeline.simulator.companies.disclosures import Disclosures

NEW_FIELDS: Final = ("ShEq", "NCShEq", "ROE", "NCROE")
NEW_FIELDS_SINCE = np.datetime64("2026-09-14")
NEAR_REAL_TIME_SINCE = np.datetime64("2026-06-08")
_SCOPE_FLAG_SINCE = np.datetime64("2024-07-22")  # SigChgInC took the place of MatChgSub

_HEAD = "DiscDate DiscTime Code DiscNo DocType CurPerType CurPerSt CurPerEn CurFYSt CurFYEn"
_RESULTS = "Sales OP OdP NP EPS DEPS TA Eq EqAR BPS CFO CFI CFF CashEq"
_DIVIDENDS = (
    "Div1Q Div2Q Div3Q DivFY DivAnn DivUnit DivTotalAnn PayoutRatioAnn"
    " FDiv1Q FDiv2Q FDiv3Q FDivFY FDivAnn FDivUnit FDivTotalAnn FPayoutRatioAnn"
    " NxFDiv1Q NxFDiv2Q NxFDiv3Q NxFDivFY NxFDivAnn NxFDivUnit NxFPayoutRatioAnn"
)
_FORECASTS = (
    "FSales2Q FOP2Q FOdP2Q FNP2Q FEPS2Q NxFSales2Q NxFOP2Q NxFOdP2Q NxFNp2Q NxFEPS2Q"
    " FSales FOP FOdP FNP FEPS NxFSales NxFOP NxFOdP NxFNp NxFEPS"
)
_FLAGS = "MatChgSub SigChgInC ChgByASRev ChgNoASRev ChgAcEst RetroRst"
_SHARES = "ShOutFY TrShFY AvgSh"
_OWN_RESULTS = "NCSales NCOP NCOdP NCNP NCEPS NCTA NCEq NCEqAR NCBPS"
_OWN_FORECASTS = (
    "FNCSales2Q FNCOP2Q FNCOdP2Q FNCNP2Q FNCEPS2Q"
    " NxFNCSales2Q NxFNCOP2Q NxFNCOdP2Q NxFNCNP2Q NxFNCEPS2Q"
    " FNCSales FNCOP FNCOdP FNCNP FNCEPS NxFNCSales NxFNCOP NxFNCOdP NxFNCNP NxFNCEPS"
)
HEAD: Final = tuple(_HEAD.split()[:6])  # what a document is
DATES: Final = (*_HEAD.split()[6:], "NxtFYSt", "NxtFYEn")
FLAGS: Final = tuple(_FLAGS.split())
FIELDS: Final = (
    tuple(
        f"{_HEAD} NxtFYSt NxtFYEn {_RESULTS} {_DIVIDENDS} {_FORECASTS} {_FLAGS} {_SHARES}"
        f" {_OWN_RESULTS} {_OWN_FORECASTS}".split()
    )
    + NEW_FIELDS
)

# The non-consolidated field of every consolidated one that has such a partner.
OWN_FIELD: Final = dict(
    zip(
        f"Sales OP OdP NP EPS TA Eq EqAR BPS {_FORECASTS} ShEq ROE".split(),
        f"{_OWN_RESULTS} {_OWN_FORECASTS} NCShEq NCROE".split(),
        strict=True,
    )
)

_RATIOS = frozenset(["EqAR", "PayoutRatioAnn", "FPayoutRatioAnn", "NxFPayoutRatioAnn", "ROE"])
_PARENT_SHARE = 0.7  # what the parent company alone makes of its group's figures
_FINAL_ONLY = 0.02  # documents that miss the evening's preliminary delivery


def summary_records(disclosures: Disclosures, companies: Companies, codes: TextArray) -> Records:
    """Records of ``/fins/summary`` from all disclosures of a market."""
    number = _numbers(disclosures)
    day, time = disclosures.day, disclosures.time
    clock: DateArray = moment(day, 0) + _minutes(time)
    luck = (disclosures.slot * 7919 + day.astype(np.int64) * 104_729) % 1000 / 1000
    in_time = (clock < moment(day, 18)) & (luck >= _FINAL_ONLY)
    delivered = np.where(in_time, moment(day, 18), moment(day + 1, 0, 30))
    at_once = np.where(day >= NEAR_REAL_TIME_SINCE, clock + np.timedelta64(1, "m"), delivered)
    return sorted_records(
        day,
        disclosures.slot,
        delivered,
        lambda index: _columns(disclosures, index, companies, codes, number),
        tie=number.astype("U14"),
        at_once=at_once,
    )


def _columns(
    disclosures: Disclosures,
    index: IntArray,
    companies: Companies,
    codes: TextArray,
    number: TextArray,
) -> Columns:
    slot, day, kind = disclosures.slot[index], disclosures.day[index], disclosures.kind[index]
    columns: Columns = {name: np.full(index.size, "", dtype=object) for name in FIELDS}
    columns |= {
        "DiscDate": iso_dates(day),
        "DiscTime": disclosures.time[index],
        "Code": codes[slot],
        "DiscNo": number[index],
        "DocType": _document_types(disclosures, index, companies),
    }
    columns |= _periods(disclosures, index)
    alone = ~companies.consolidated[slot]
    parent_too = ~alone & disclosures.final[index] & (slot % 5 < 3) & (kind <= CORRECTION)
    for name in FIGURES:
        values = disclosures.figures[name][index]
        if name in NEW_FIELDS:
            values = np.where(day >= NEW_FIELDS_SINCE, values, np.nan)
        own = OWN_FIELD.get(name)
        if own is None:
            columns[name] = _texts(name, values)
            continue
        columns[name] = _texts(name, np.where(alone, np.nan, values))
        parents = np.where(parent_too, _parent_figure(name, values), np.nan)
        columns[own] = _texts(name, np.where(alone, values, parents))
    columns |= _flags(disclosures, index)
    return columns


def _numbers(disclosures: Disclosures) -> TextArray:
    """Unique 14-digit numbers: the day of registration, then six digits without meaning.

    Documents are registered up to three days before they are disclosed.
    """
    month = disclosures.year_start + 3 * disclosures.quarter
    serial = disclosures.slot * 16 + 4 * (month // 3 % 4) + disclosures.kind
    scrambled = serial * 387_961 % 1_000_000  # a bijection: the factor has no divisor 2 or 5
    registered = disclosures.day - (serial % 4).astype("timedelta64[D]")
    days = [text.replace("-", "") for text in iso_dates(registered)]
    texts = [f"{d}{n:06d}" for d, n in zip(days, scrambled.tolist(), strict=True)]
    return np.array(texts, dtype=object)


def _document_types(disclosures: Disclosures, index: IntArray, companies: Companies) -> TextArray:
    slot = disclosures.slot[index]
    rows = zip(
        disclosures.kind[index].tolist(),
        disclosures.quarter[index].tolist(),
        disclosures.final[index].tolist(),
        companies.consolidated[slot].tolist(),
        companies.standard[slot].tolist(),
        strict=True,
    )
    special = {
        FORECAST_REVISION: "EarnForecastRevision",
        DIVIDEND_REVISION: "DividendForecastRevision",
    }
    texts = []
    for kind, quarter, final, consolidated, standard in rows:
        if kind in special:
            texts.append(special[kind])
            continue
        period = "FY" if final else f"{quarter}Q" if quarter <= 3 else "OtherPeriod"
        scope = "Consolidated" if consolidated else "NonConsolidated"
        texts.append(f"{period}FinancialStatements_{scope}_{STANDARDS[standard]}")
    return np.array(texts, dtype=object)


def _periods(disclosures: Disclosures, index: IntArray) -> Columns:
    """Revisions speak about the whole year, statements about the year so far."""
    start, quarters = disclosures.year_start[index], disclosures.year_quarters[index]
    statement = disclosures.kind[index] <= CORRECTION
    final = disclosures.final[index] | ~statement
    quarter = np.where(final, quarters, disclosures.quarter[index])
    year_end = _month_end(start + 3 * quarters - 1)
    looks_ahead = disclosures.final[index] & statement
    following = start + 3 * quarters
    names = np.array(["", "1Q", "2Q", "3Q", "4Q", "5Q"], dtype=object)
    return {
        "CurPerType": np.where(final, "FY", names[np.minimum(quarter, 5)]).astype(object),
        "CurPerSt": iso_dates(_month_start(start)),
        "CurPerEn": iso_dates(_month_end(start + 3 * quarter - 1)),
        "CurFYSt": iso_dates(_month_start(start)),
        "CurFYEn": iso_dates(year_end),
        "NxtFYSt": np.where(looks_ahead, iso_dates(_month_start(following)), ""),
        "NxtFYEn": np.where(looks_ahead, iso_dates(_month_end(following + 11)), ""),
    }


def _flags(disclosures: Disclosures, index: IntArray) -> Columns:
    kind, day, slot = disclosures.kind[index], disclosures.day[index], disclosures.slot[index]
    statement = kind <= CORRECTION
    chance = (slot * 31 + day.astype(np.int64) * 17) % 100

    def flag(raised: BoolArray, told: BoolArray) -> TextArray:
        texts: TextArray = np.where(told, np.where(raised, "true", "false"), "").astype(object)
        return texts

    later = day >= _SCOPE_FLAG_SINCE
    return {
        "MatChgSub": flag(chance < 2, statement & ~later),
        "SigChgInC": flag(chance < 2, statement & later),
        "ChgByASRev": flag(chance % 20 == 3, statement),
        "ChgNoASRev": flag(chance == 5, statement),
        "ChgAcEst": flag(chance == 7, statement),
        "RetroRst": flag((chance == 9) | ((kind == CORRECTION) & (chance < 50)), statement),
    }


def _parent_figure(name: str, values: FloatArray) -> FloatArray:
    if name in _RATIOS:
        return np.round(values * 0.9, 3)
    if name.endswith(("EPS", "EPS2Q", "BPS")):
        return np.round(values * _PARENT_SHARE, 2)
    return np.round(values * _PARENT_SHARE / 1e6) * 1e6


def _texts(name: str, values: FloatArray) -> TextArray:
    decimals = 3 if name in _RATIOS else 2 if _is_per_share(name) else 0
    known = ~np.isnan(values)
    texts = np.full(values.size, "", dtype=object)
    if decimals:
        # As the vendor writes them: 66.76, 25.0, -3.5.
        texts[known] = [repr(round(v, decimals) + 0.0) for v in values[known].tolist()]
    else:
        texts[known] = [str(int(v)) for v in values[known].tolist()]
    return texts


def _is_per_share(name: str) -> bool:
    per_share_dividend = "Div" in name and not name.endswith(("TotalAnn", "RatioAnn"))
    return per_share_dividend or "EPS" in name or name == "BPS"


def _month_start(month: IntArray) -> DateArray:
    return month.astype("datetime64[M]").astype("datetime64[D]")


def _month_end(month: IntArray) -> DateArray:
    return _month_start(month + 1) - np.timedelta64(1, "D")


def _minutes(times: TextArray) -> NDArray[np.timedelta64]:
    """Minutes since midnight of HH:MM:SS texts."""
    minutes = [60 * int(text[:2]) + int(text[3:5]) for text in times.tolist()]
    return np.array(minutes, dtype="timedelta64[m]")
