"""One place that decides how kernels are compiled, and when."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, update_wrapper
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_making = Lock()


class Kernel(Generic[P, R]):
    """A function that is compiled when it is first called, from Python or from another kernel.

    The compiler takes longer to import than most commands take to answer, and every process of a
    run imports the kernels, while few of them compute.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self._compiled: Callable[P, R] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return (self._compiled or self.compiled())(*args, **kwargs)

    def compiled(self) -> Callable[P, R]:
        """The function as Numba has it: it compiles for the types it is given, or loads that."""
        with _making:
            if self._compiled is None:
                self._compiled = _compiler()(self.py_func)
            return self._compiled


def jit(function: Callable[P, R]) -> Kernel[P, R]:
    """Compile a kernel: releases the GIL, cached on disk, IEEE arithmetic.

    ``fastmath`` stays off: reordering sums would make a value depend on the width of the
    array it was computed in, and a chunk has to equal the same days of any other chunk.
    Division by zero gives inf or nan as in NumPy instead of raising.
    """
    return Kernel(function)


@cache
def _compiler() -> Any:
    """Numba's decorator; imports Numba, and tells it that a kernel is what it compiles to."""
    import numba
    from numba.extending import typeof_impl

    @typeof_impl.register(Kernel)
    def _(kernel: Kernel[Any, Any], _context: object) -> Any:
        return numba.types.Dispatcher(kernel.compiled())

    return numba.njit(nogil=True, cache=True, error_model="numpy")
