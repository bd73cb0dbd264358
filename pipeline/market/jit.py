"""One place that decides how kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel: releases the GIL, cached on disk, IEEE arithmetic.

    ``fastmath`` stays off: reordering sums would make a value depend on the width of the
    array it was computed in, and a chunk has to equal the same days of any other chunk.
    Division by zero gives inf or nan as in NumPy instead of raising.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    return cast(Callable[P, R], compiled)
