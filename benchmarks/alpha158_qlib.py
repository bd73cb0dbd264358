"""One pass of qlib over its Alpha158 set; runs in qlib's own environment, see ``alpha158.py``.

    python alpha158_qlib.py STORE PROCESSES VALUES

The expressions are qlib's own (``Alpha158DL``), computed by its own engine from its own files,
without its disk caches. Values go to VALUES (instruments x days x columns, float32); seconds,
column names and versions to the standard output as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import resource
import sys
import time

import numpy as np
import qlib
from qlib.contrib.data.loader import Alpha158DL
from qlib.data import D
from qlib.data.cache import H


def main() -> None:
    store, processes, values = sys.argv[1:]
    qlib.init(
        provider_uri=store,
        kernels=int(processes),
        expression_cache=None,
        dataset_cache=None,
        logging_level=logging.ERROR,
    )
    fields, names = Alpha158DL.get_feature_config()
    instruments = D.list_instruments(D.instruments("all"), as_list=True)
    # Imports and the first calls of everything are not what is compared.
    D.features(instruments[:2], fields)
    H.clear()
    cpu_s, began = _cpu_s(), time.perf_counter()
    frame = D.features(instruments, fields)
    wall_s = time.perf_counter() - began
    cpu_s = _cpu_s() - cpu_s
    frame = frame.sort_index()
    np.save(values, frame.to_numpy(dtype=np.float32).reshape(len(instruments), -1, len(names)))
    packages = {name: importlib.metadata.version(name) for name in ("pyqlib", "pandas", "numpy")}
    report = {
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "names": names,
        "versions": {**packages, "python": platform.python_version()},
    }
    print(json.dumps(report))


def _cpu_s() -> float:
    """Processor time of this process and of those it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
