"""A synthetic Tokyo exchange, served as J-Quants API v2 over HTTP on the loopback address.

Nothing here is real: names say so, every answer carries ``X-Simulator: g5``, and what is built
from it says ``origin: simulator``.

To add an endpoint: a method of ``Market`` that makes its columns, one row in ``endpoints``, its
path in ``files`` when it has bulk files, a call of the official client in that client's test.
"""

from pipeline.simulator.bulk.bulk_endpoints import BulkOptions
from pipeline.simulator.delivery.fault_injection import Fault
from pipeline.simulator.market_spec import MarketSpec
from pipeline.simulator.server.app import AppOptions
from pipeline.simulator.server.http_server import SimulatorServer, serving
from pipeline.simulator.server.request_limits import LimitOptions
from pipeline.simulator.synthetic_market import Market

__all__ = [
    "AppOptions",
    "BulkOptions",
    "Fault",
    "LimitOptions",
    "Market",
    "MarketSpec",
    "SimulatorServer",
    "serving",
]
