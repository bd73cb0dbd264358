"""How kernels are compiled."""

import importlib
import inspect
import pkgutil

import pytest

import pipeline.features
from pipeline.market.jit import Kernel

_MODULES = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(pipeline.features.__path__, "pipeline.features.")
]


def _kernels(module):
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Kernel) and value.py_func.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", _MODULES, ids=lambda m: m.__name__)
def test_no_kernel_calls_a_kernel_of_another_module(module):
    """Compiled code is cached per file: a call across files would keep the callee's old code
    after an upgrade, and chunks would silently mix two versions of a formula."""
    for kernel in _kernels(module).values():
        called = inspect.getclosurevars(kernel.py_func).globals.values()
        foreign = [
            f.py_func.__qualname__
            for f in called
            if isinstance(f, Kernel) and f.py_func.__module__ != module.__name__
        ]
        assert not foreign, f"{kernel.py_func.__qualname__} calls {foreign}"


def test_there_are_kernels_to_look_at():
    """The search above finds what it is about."""
    assert sum(len(_kernels(module)) for module in _MODULES) >= 20
