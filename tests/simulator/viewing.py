"""Asking a market for rows as the server would, without HTTP."""

from __future__ import annotations

from datetime import datetime

import orjson

from pipeline.simulator.server.endpoint_table import ENDPOINTS
from pipeline.simulator.server.plan_access import plan_named
from pipeline.simulator.server.publication_clock import JST, morning_after
from pipeline.simulator.server.request_query import parse_query
from pipeline.simulator.server.response_pages import render_rows, sent_fields
from pipeline.simulator.server.visible_rows import Viewer


def rows(market, path, *, now=None, plan="premium", **params):
    """Rows as a client reads them; ``now`` is Tokyo time, by default the morning after the end."""
    clock = morning_after(market.spec.end)
    if now is not None:
        clock = datetime.fromisoformat(now).replace(tzinfo=JST)
    viewer = Viewer(market, plan_named(plan), clock)
    endpoint = ENDPOINTS[path]
    raw = {name.rstrip("_"): str(value) for name, value in params.items()}
    query = parse_query(raw, endpoint.params, endpoint.combinations, endpoint.one_of)
    columns = endpoint.rows(market, viewer.scope(endpoint, query))
    return [orjson.loads(row) for row in render_rows(columns, sent_fields(endpoint, viewer))]
