"""The fields of every source, in the order the vendor sends them.

Source: J-Quants API v2 specification and the column lists of the official Python client 2.8.0,
as of September 2026. ``tests/data/endpoint_fields.json`` holds the same names from there.

Requests, bulk files and a local folder of bulk files give the same tables. Where the routes
differ, the field says so, and there are two ways to:

- ``required=False``: sent by some plans or in some years only; null where it is not sent.
- ``kept=False``: checked where it is sent, and no column of our tables. What a bulk file does not
  have at all must be declared so, or the route would show in the table. That is the vendor's
  restated prices: bulk files lack them, and a stored one is wrong after the next split anyway.
  The dataset restates by itself, from raw prices and ``AdjFactor``. It is also what requests
  gained lately and files perhaps did not.

How the files write nested fields is not documented; a sample of the vendor has the text of a
Python dict. That, a JSON object as text and a column per inner key (``PubReason.Restricted``) are
all understood.

Lists are closed where something of ours reads the members. What an unknown one does:

- ``Mkt`` and ``S33`` of ordinary shares, ``HolDiv``, ``S33`` of the short ratios: the row is
  refused by name, since its place in the universe, the calendar or the source hangs on it.
- ``ScaleCat``, ``S17``, ``Mrgn``, ``PCDiv``, ``StatCode``, flags: null, counted and named.

Lists that nothing reads, or whose older members are not documented (``DocType``, ``Section``,
``TSEMrgnRegCls`` ...), stay open.
"""

from __future__ import annotations

import datetime as dt

from pipeline.api.catalogue.fields import BLANK, TRUTH, Field, Kind, fields
from pipeline.market import closed_lists

Fields = tuple[Field, ...]

#: From this trading date on derivatives carry settlement prices, volatilities and contract dates;
#: what older rows hold in their place is not documented, so all forms are accepted there.
_LATE_DERIVATIVES = dt.date(2016, 7, 19)


def _numbers(names: str, required: bool = True) -> Fields:
    return fields(names, "number", required=required)


def _late(names: str, kind: Kind = "number") -> Fields:
    return fields(names, kind, since=_LATE_DERIVATIVES)


CALENDAR: Fields = fields("Date", "date") + fields(
    "HolDiv", "text", width=1, members=tuple(closed_lists.HOLIDAY.members), refused=True
)

_S33 = fields("S33", "text", width=4, members=tuple(closed_lists.INDUSTRY.members))
#: "-" is a value: listed, but in none of the size buckets.
_NO_SCALE = (("－", "-"), ("−", "-"))

LISTED: Fields = (
    fields("Date", "date")
    + fields("Code CoName CoNameEn", "text")
    + fields("S17", "text", width=1, members=tuple(closed_lists.SECTOR17.members))  # not padded
    + fields("S17Nm", "text")
    + _S33
    + fields("S33Nm", "text")
    + fields(
        *("ScaleCat", "text"),
        missing=BLANK,
        members=tuple(closed_lists.SCALE.members),
        aliases=_NO_SCALE,
    )
    + fields("Mkt", "text", width=4, members=tuple(closed_lists.MARKET.members))
    + fields("MktNm", "text")
    # An older page grants the margin class from Standard on only.
    + fields(
        "Mrgn", "text", required=False, width=1, members=tuple(closed_lists.MARGIN_CLASS.members)
    )
    + fields("MrgnNm", "text", required=False)
    + fields("ProdCat", "text", required=False, width=3)  # since 2026-05-26
)


def _session_bar(prefix: str, required: bool) -> Fields:
    """Prices, limit flags, volume and value of a part of the day."""
    return (
        _numbers(" ".join(prefix + name for name in ("O", "H", "L", "C")), required=required)
        + fields(f"{prefix}UL {prefix}LL", "flag", required=required)
        + _numbers(f"{prefix}Vo {prefix}Va", required=required)
    )


def _restated(prefix: str, required: bool) -> Fields:
    """The same prices and volume on the share basis of the day they were asked for."""
    names = " ".join(prefix + name for name in ("AdjO", "AdjH", "AdjL", "AdjC", "AdjVo"))
    return fields(names, "number", required=required, kept=False)


DAILY_BARS: Fields = (
    fields("Date", "date")
    + fields("Code", "text")
    + _session_bar("", required=True)
    + _numbers("AdjFactor")
    + _restated("", required=True)
    # Morning and afternoon: sent on the Premium plan only.
    + _session_bar("M", required=False)
    + _restated("M", required=False)
    + _session_bar("A", required=False)
    + _restated("A", required=False)
    # Since August 2026. The files that are known are older; nothing of ours reads the two.
    + fields("MktCap", "number", required=False, kept=False)
    + fields("ExRT", "text", required=False, kept=False)
)

TOPIX: Fields = fields("Date", "date") + _numbers("O H L C")

# Close-only indices have one price; the codes are four characters, letters among them.
INDICES: Fields = fields("Date", "date") + fields("Code", "text", width=4) + _numbers("O H L C")

_INVESTORS = "Prop Brk Tot Ind Frgn SecCo InvTr BusCo OthCo InsCo Bank TrstBnk OthFin"

INVESTOR_TYPES: Fields = (
    fields("PubDate StDate EnDate", "date")
    + fields("Section", "text")
    + _numbers(
        " ".join(who + what for who in _INVESTORS.split() for what in ("Sell", "Buy", "Tot", "Bal"))
    )
)

VALUATION: Fields = (
    fields("Date", "date")
    + fields("Code", "text")
    + _numbers("EPS FwdEPS BPS ROE FwdROE PER FwdPER PBR MktCap")
)


def _forecasts(scope: str) -> str:
    """Names of the half-year forecasts, this and next year; the next year's profit is ``Np``."""
    this = " ".join(f"F{scope}{item}2Q" for item in ("Sales", "OP", "OdP", "NP", "EPS"))
    following = " ".join(f"NxF{scope}{item}2Q" for item in ("Sales", "OP", "OdP", "Np", "EPS"))
    return f"{this} {following}"


# Every value is text on the wire, blank when missing; numbers are stored as numbers.
FIN_SUMMARY: Fields = (
    fields("DiscDate", "date")
    + fields("DiscTime", "text", clock="HH:MM:SS")  # missing in a part of the older rows
    + fields("Code DiscNo DocType CurPerType", "text")
    + fields("CurPerSt CurPerEn CurFYSt CurFYEn NxtFYSt NxtFYEn", "date")
    + _numbers("Sales OP OdP NP EPS DEPS TA Eq EqAR BPS CFO CFI CFF CashEq")
    + _numbers("Div1Q Div2Q Div3Q DivFY DivAnn DivUnit DivTotalAnn PayoutRatioAnn")
    + _numbers("FDiv1Q FDiv2Q FDiv3Q FDivFY FDivAnn FDivUnit FDivTotalAnn FPayoutRatioAnn")
    + _numbers("NxFDiv1Q NxFDiv2Q NxFDiv3Q NxFDivFY NxFDivAnn NxFDivUnit NxFPayoutRatioAnn")
    + _numbers(_forecasts(""))
    + _numbers("FSales FOP FOdP FNP FEPS NxFSales NxFOP NxFOdP NxFNp NxFEPS")
    + fields("MatChgSub SigChgInC ChgByASRev ChgNoASRev ChgAcEst RetroRst", "text", members=TRUTH)
    + _numbers("ShOutFY TrShFY AvgSh")
    + _numbers("NCSales NCOP NCOdP NCNP NCEPS NCTA NCEq NCEqAR NCBPS")
    + _numbers("FNCSales2Q FNCOP2Q FNCOdP2Q FNCNP2Q FNCEPS2Q")
    + _numbers("NxFNCSales2Q NxFNCOP2Q NxFNCOdP2Q NxFNCNP2Q NxFNCEPS2Q")
    + _numbers("FNCSales FNCOP FNCOdP FNCNP FNCEPS")
    + _numbers("NxFNCSales NxFNCOP NxFNCOdP NxFNCNP NxFNCEPS")
    + _numbers("ShEq NCShEq ROE NCROE", required=False)  # since 2026-09-14
)

DIVIDEND: Fields = (
    fields("PubDate", "date")
    + fields("PubTime", "text", clock="HH:MM")
    + fields("Code RefNo", "text")
    + fields("StatCode", "text", width=1, members=tuple(closed_lists.NOTICE.members))
    + fields("BoardDate", "date")
    + fields("IFCode FRCode", "text", width=1)
    + fields("IFTerm", "text")
    + _numbers("DivRate")
    + fields("RecDate ExDate ActRecDate PayDate", "date")
    + fields("CARefNo", "text")
    + _numbers("DistAmt RetEarn DeemDiv DeemCapGains NetAssetDecRatio")
    + fields("CommSpecCode", "text", width=1)
    + _numbers("CommDivRate SpecDivRate")
)

EARNINGS_DATE: Fields = (
    fields("PubDate SchDate", "date")
    + fields("FQName", "text")
    + fields("FYE", "text", width=4)  # MMDD
    + fields("Code CoName CoNameEn", "text")
)

MARGIN_INTEREST: Fields = (
    # Sent since 2026-09-28, filled for application dates from 2026-09-25.
    fields("PubDate", "date", required=False)
    + fields("Date", "date")
    + fields("Code", "text")
    + fields("IssType", "text", width=1)
    + _numbers("ShrtVol LongVol ShrtNegVol LongNegVol ShrtStdVol LongStdVol")
    + _numbers("ShrtVal LongVal ShrtNegVal LongNegVal ShrtStdVal LongStdVal", required=False)
)

_PUBLICATION_REASONS = (
    "Restricted DailyPublication Monitoring RestrictedByJSF PrecautionByJSF UnclearOrSecOnAlert"
)

MARGIN_ALERT: Fields = (
    fields("PubDate", "date")
    + fields("Code", "text")
    + fields("AppDate", "date")
    + fields(" ".join(f"PubReason.{flag}" for flag in _PUBLICATION_REASONS.split()), "flag")
    + _numbers("ShrtOut")
    + _numbers("ShrtOutChg")
    + _numbers("ShrtOutRatio")
    + _numbers("LongOut")
    + _numbers("LongOutChg")
    + _numbers("LongOutRatio")
    + _numbers("SLRatio")
    + _numbers("ShrtNegOut")
    + _numbers("ShrtNegOutChg")
    + _numbers("ShrtStdOut")
    + _numbers("ShrtStdOutChg")
    + _numbers("LongNegOut")
    + _numbers("LongNegOutChg")
    + _numbers("LongStdOut")
    + _numbers("LongStdOutChg")
    + fields("TSEMrgnRegCls", "text", width=3)
)

SHORT_RATIO: Fields = (
    fields("Date", "date") + _S33 + _numbers("SellExShortVa ShrtWithResVa ShrtNoResVa")
)

SHORT_SALE: Fields = (
    fields("DiscDate CalcDate", "date")
    + fields("Code SSName SSAddr DICName DICAddr FundName", "text")
    + _numbers("ShrtPosToSO ShrtPosShares ShrtPosUnits")
    + fields("PrevRptDate", "date")
    + _numbers("PrevRptRatio")
    + fields("Notes", "text")
)

BREAKDOWN: Fields = (
    fields("Date", "date")
    + fields("Code", "text")
    + _numbers("LongSellVa ShrtNoMrgnVa MrgnSellNewVa MrgnSellCloseVa")
    + _numbers("LongBuyVa MrgnBuyNewVa MrgnBuyCloseVa")
    + _numbers("LongSellVo ShrtNoMrgnVo MrgnSellNewVo MrgnSellCloseVo")
    + _numbers("LongBuyVo MrgnBuyNewVo MrgnBuyCloseVo")
)

# In the derivatives sources 0.0 means "nothing traded" and stays 0.0; blank means that the
# session does not exist, for a product or on the first day of a series, and becomes null.
FUTURES: Fields = (
    fields("Code ProdCat", "text")
    + fields("Date", "date")
    + _numbers("O H L C")
    + _numbers("MO MH ML MC EO EH EL EC")
    + _numbers("AO AH AL AC Vo OI Va")
    + fields("CM", "text")
    + _late("VoOA")
    + fields("EmMrgnTrgDiv", "text", width=3)
    + _late("LTD SQD", "date")
    + _late("Settle")
    + _late("CCMFlag", "flag")
)

INDEX_OPTION: Fields = (
    fields("Date", "date")
    + fields("Code", "text")
    + _numbers("O H L C")
    + _numbers("EO EH EL EC")
    + _numbers("AO AH AL AC Vo OI Va")
    + fields("CM", "text")
    + _numbers("Strike")
    + _late("VoOA")
    + fields("EmMrgnTrgDiv", "text", width=3)
    + fields("PCDiv", "text", width=1, members=tuple(closed_lists.CALL.members))
    + _late("LTD SQD", "date")
    + _late("Settle Theo BaseVol UnderPx IV IR")
)
