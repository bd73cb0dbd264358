"""Family sector: the index of the stock's sector, and what its members do."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.cross_section import returns, sector17_members, sector_members, values_of
from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.market_breadth import earn_density, is_above_sma20
from tests.reference.operators import Value, at_least, ema, mean, minus_one, ratio, std
from tests.reference.price_return import ret_prev
from tests.reference.series import index, realized_vol, return_over

SECTOR_INDEX = {
    "0050": "0040",
    "1050": "0041",
    "2050": "0042",
    "3050": "0043",
    "3100": "0044",
    "3150": "0045",
    "3200": "0046",
    "3250": "0047",
    "3300": "0048",
    "3350": "0049",
    "3400": "004A",
    "3450": "004B",
    "3500": "004C",
    "3550": "004D",
    "3600": "004E",
    "3650": "004F",
    "3700": "0050",
    "3750": "0051",
    "3800": "0052",
    "4050": "0053",
    "5050": "0054",
    "5100": "0055",
    "5150": "0056",
    "5200": "0057",
    "5250": "0058",
    "6050": "0059",
    "6100": "005A",
    "7050": "005B",
    "7100": "005C",
    "7150": "005D",
    "7200": "005E",
    "8050": "005F",
    "9050": "0060",
}
"""S33 -> code of its TOPIX-33 index."""

SMALLEST = 5
"""Members a mean or share over a sector needs."""


def index_of(market: ReferenceMarket, s: History) -> list[Value]:
    """Closes of the index of the sector the stock has on T, 500 columns."""
    record = s.records[-1]
    code = "" if record is None else SECTOR_INDEX.get(record.s33, "")
    return index(market, s.date, code)


def members(market: ReferenceMarket, s: History) -> list[str]:
    """The members of U_T in the sector the stock has on T."""
    record = s.records[-1]
    return [] if record is None else sector_members(market, s.date, record.s33)


def sector_idx_ret(k: int) -> Callable[[ReferenceMarket, History], Value]:
    return lambda market, s: return_over(index_of(market, s), k)


def sector_idx_ema_gap_5_20(market: ReferenceMarket, s: History) -> Value:
    closes = index_of(market, s)
    return minus_one(ratio(ema(closes, 5), ema(closes, 20)))


def sector_idx_vol_20(market: ReferenceMarket, s: History) -> Value:
    return realized_vol(index_of(market, s))


def members_returns(market: ReferenceMarket, s: History) -> list[float] | None:
    """The known returns of the members, at least five."""
    return at_least(SMALLEST, [returns(market, code).get(s.date) for code in members(market, s)])


def sector_breadth_up_1d(market: ReferenceMarket, s: History) -> Value:
    known = members_returns(market, s)
    return None if known is None else mean([r > 0 for r in known])


def sector_breadth_sma20(market: ReferenceMarket, s: History) -> Value:
    flags = values_of(market, members(market, s), s.date, is_above_sma20)
    known = at_least(SMALLEST, flags)
    return None if known is None else mean(known)


def sector_dispersion_1d(market: ReferenceMarket, s: History) -> Value:
    known = members_returns(market, s)
    return None if known is None else std(known)


def ret_20d(s: History) -> Value:
    return ret_prev(s, 20)


def sec17_ret_20d(market: ReferenceMarket, s: History) -> Value:
    record = s.records[-1]
    if record is None or record.s17 in {"", "99"}:
        return None
    codes = sector17_members(market, s.date, record.s17)
    known = at_least(SMALLEST, values_of(market, codes, s.date, ret_20d))
    return None if known is None else mean(known)


def sector_earn_density_5d(market: ReferenceMarket, s: History) -> Value:
    codes = members(market, s)
    return earn_density(market, codes, s.date) if len(codes) >= SMALLEST else None


FEATURES: dict[str, Feature] = {
    **{f"sector_idx_ret_{k}d": of_line(sector_idx_ret(k)) for k in (1, 5, 20)},
    "sector_idx_ema_gap_5_20": of_line(sector_idx_ema_gap_5_20),
    "sector_idx_vol_20": of_line(sector_idx_vol_20),
    "sector_breadth_up_1d": of_line(sector_breadth_up_1d),
    "sector_breadth_sma20": of_line(sector_breadth_sma20),
    "sector_dispersion_1d": of_line(sector_dispersion_1d),
    "sec17_ret_20d": of_line(sec17_ret_20d),
    "sector_earn_density_5d": of_line(sector_earn_density_5d),
}
