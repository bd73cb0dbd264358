"""Calls public methods of the official client; runs in that client's own environment.

Reads ``{"base_url": ..., "calls": [{"method": ..., "arguments": {...}}]}`` from the standard
input; writes one JSON line per call: ``columns`` and number of ``rows`` of a frame, the ``dates``
columns that were parsed without a gap, the ``cursor`` beside a frame, ``text`` of a text, or
``error``. The key comes from JQUANTS_API_KEY.
"""

from __future__ import annotations

import json
import sys
import warnings

import pandas as pd
from jquantsapi import ClientV2


def described(result):
    if isinstance(result, tuple):
        frame, cursor = result
        return described(frame) | {"cursor": cursor}
    if isinstance(result, pd.DataFrame):
        dates = [
            name
            for name in result.columns
            if pd.api.types.is_datetime64_any_dtype(result[name]) and result[name].notna().all()
        ]
        return {"columns": list(result.columns), "rows": len(result), "dates": dates}
    return {"text": result}


def outcome(client, method, arguments):
    try:
        return described(getattr(client, method)(**arguments))
    except Exception as error:  # the test judges what went wrong
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    warnings.simplefilter("ignore")
    order = json.load(sys.stdin)
    ClientV2.JQUANTS_API_BASE = order["base_url"]
    client = ClientV2()
    for call in order["calls"]:
        json.dump(outcome(client, call["method"], call["arguments"]), sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
