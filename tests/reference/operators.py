"""The operators of the catalogue on plain lists; ``None`` is null everywhere.

A list of values runs from the oldest to the newest column and ends at T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Value = float | None
Values = Sequence[Value]

SAME_PRICE = 1e-9
"""Largest relative difference of two equal prices of different columns."""

ZERO_DEVIATION = 1e-12
"""A deviation up to this share of the largest absolute value counts as 0."""


def equal(a: float, b: float) -> bool:
    """Tell whether two prices of different columns, in one basis, count as the same price."""
    return abs(a - b) <= SAME_PRICE * max(abs(a), abs(b))


def change(new: float, old: float) -> float:
    """Difference of two prices, exactly 0 between equal ones."""
    return 0.0 if equal(new, old) else new - old


def simple_return(new: Value, old: Value) -> Value:
    """``new / old - 1``, exactly 0 between equal prices."""
    if new is None or old is None or old == 0:
        return None
    return 0.0 if equal(new, old) else new / old - 1


def log_return(new: Value, old: Value) -> Value:
    """``ln(new / old)``, exactly 0 between equal prices."""
    if new is None or old is None or new <= 0 or old <= 0:
        return None
    return 0.0 if equal(new, old) else math.log(new / old)


def ratio(numerator: Value, denominator: Value) -> Value:
    """Quotient; null when an operand is null or the denominator is 0."""
    if numerator is None or denominator is None or denominator == 0:
        return None
    return numerator / denominator


def difference(a: Value, b: Value) -> Value:
    """``a - b``; null when an operand is null."""
    return None if a is None or b is None else a - b


def minus_one(value: Value) -> Value:
    """``value - 1``, null stays null."""
    return None if value is None else value - 1


def back(values: Values, k: int) -> Value:
    """The value k columns before T."""
    return values[len(values) - 1 - k]


def window(values: Values, width: int, ago: int = 0) -> list[Value]:
    """The columns T-ago-width+1 .. T-ago, oldest first."""
    end = len(values) - ago
    if end < width:
        raise IndexError(f"window of {width} columns, {ago} ago: only {len(values)} are kept")
    return list(values[end - width : end])


def present(values: Values) -> list[float]:
    """The values that are not null."""
    return [x for x in values if x is not None]


def at_least(count: int, values: Values) -> list[float] | None:
    """The values that are not null, or null when there are fewer than ``count``."""
    kept = present(values)
    return kept if len(kept) >= count else None


def complete(values: Values) -> list[float] | None:
    """All values, or null when one of them is."""
    return at_least(len(values), values)


def mean(xs: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(xs) / len(xs)


def std(xs: Sequence[float]) -> float:
    """Standard deviation, ddof 1; exactly 0 when it is 0 up to rounding."""
    centre = mean(xs)
    deviation = math.sqrt(math.fsum((x - centre) ** 2 for x in xs) / (len(xs) - 1))
    return 0.0 if deviation <= ZERO_DEVIATION * max(abs(x) for x in xs) else deviation


def var(xs: Sequence[float]) -> float:
    """Variance, ddof 1."""
    return std(xs) ** 2


def correlation(xs: Sequence[float], ys: Sequence[float]) -> Value:
    """Pearson correlation; null when one of the two deviations is 0."""
    if std(xs) == 0 or std(ys) == 0:
        return None
    x_mean, y_mean = mean(xs), mean(ys)
    together = math.fsum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    x_alone = math.fsum((x - x_mean) ** 2 for x in xs)
    y_alone = math.fsum((y - y_mean) ** 2 for y in ys)
    return together / math.sqrt(x_alone * y_alone)


def quantile(xs: Sequence[float], share: float) -> float:
    """Quantile with linear interpolation between the two neighbours."""
    ordered = sorted(xs)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def decaying_mean(newest_first: Values, decay: float, min_count: int) -> Value:
    """Mean with weights decay^k on the value of T-k, normalised over the non-null terms."""
    terms = [(decay**k, x) for k, x in enumerate(newest_first) if x is not None]
    if len(terms) < min_count:
        return None
    return math.fsum(w * x for w, x in terms) / math.fsum(w for w, _ in terms)


def ema(values: Values, n: int, ago: int = 0) -> Value:
    """``ema_n`` as of T-ago: a = 2/(n+1), window 7(n+1), at least n terms."""
    return decaying_mean(window(values, 7 * (n + 1), ago)[::-1], 1 - 2 / (n + 1), n)


def wilder(values: Values, n: int, ago: int = 0) -> Value:
    """``wil_n`` as of T-ago: a = 1/n, window 14n, at least n terms."""
    return decaying_mean(window(values, 14 * n, ago)[::-1], 1 - 1 / n, n)


def after(values: Values, f: Callable[[float, float], Value]) -> list[Value]:
    """``f(x_u, x_(u-1))`` of every column; null where one of the two is."""
    result: list[Value] = [None]
    for old, new in pairwise(values):
        result.append(None if new is None or old is None else f(new, old))
    return result
