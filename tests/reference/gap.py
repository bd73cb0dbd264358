"""Family gap: the open of T against the carried close of the column before."""

from __future__ import annotations

from tests.reference.beta import regression
from tests.reference.market import Feature, History, ReferenceMarket, of_bars, of_line
from tests.reference.moving_average import true_range
from tests.reference.operators import (
    Value,
    at_least,
    back,
    change,
    mean,
    ratio,
    simple_return,
    std,
    wilder,
    window,
)
from tests.reference.topix_index import topix_overnight

SMALLEST_GAP = 0.001


def gap(s: History) -> Value:
    """``o_T - p_(T-1)``, exactly 0 between equal prices."""
    o, p = back(s.o, 0), back(s.p, 1)
    return None if o is None or p is None else change(o, p)


def gap_atr(s: History) -> Value:
    return ratio(gap(s), wilder(true_range(s), 14, ago=1))


def gap_filled_flag(s: History) -> Value:
    h, low, p, size = back(s.h, 0), back(s.l, 0), back(s.p, 1), gap(s)
    if h is None or low is None or p is None or size is None:
        return None
    fell_back = size > 0 and change(low, p) <= 0
    rose_back = size < 0 and change(h, p) >= 0
    return float(fell_back or rose_back)


def gap_retrace(s: History) -> Value:
    o, h, low, p = back(s.o, 0), back(s.h, 0), back(s.l, 0), back(s.p, 1)
    overnight = simple_return(o, p)
    if o is None or h is None or low is None or p is None or overnight is None:
        return None
    if abs(overnight) < SMALLEST_GAP:
        return None
    share = (o - low) / (o - p) if overnight > 0 else (h - o) / (p - o)
    return min(1.0, max(0.0, share))


def gap_magnitude_z20(s: History) -> Value:
    sizes: list[Value] = []
    for o, p in zip(window(s.o, 21), window(s.p_prev, 21), strict=True):
        overnight = simple_return(o, p)
        sizes.append(None if overnight is None else abs(overnight))
    before = at_least(10, sizes[:-1])
    if before is None or sizes[-1] is None:
        return None
    return ratio(sizes[-1] - mean(before), std(before))


def gap_resid_topix(market: ReferenceMarket, s: History) -> Value:
    overnight = simple_return(back(s.o, 0), back(s.p, 1))
    fit, topix = regression(market, s, ago=1), topix_overnight(market, s.date)
    if overnight is None or fit is None or topix is None:
        return None
    return overnight - fit.beta * topix


FEATURES: dict[str, Feature] = {
    "gap_atr": of_bars(gap_atr),
    "gap_filled_flag": of_bars(gap_filled_flag),
    "gap_retrace": of_bars(gap_retrace),
    "gap_magnitude_z20": of_bars(gap_magnitude_z20),
    "gap_resid_topix": of_line(gap_resid_topix),
}
