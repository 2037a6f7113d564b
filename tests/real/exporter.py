"""A process with one gauge, ``load``, for Prometheus to scrape: `python -m tests.real.exporter PORT`.

Each line on standard input is the gauge's next value.
"""

import sys

from prometheus_client import CollectorRegistry, Gauge, start_http_server

if __name__ == "__main__":
    registry = CollectorRegistry()
    load = Gauge("load", "What this process carries.", ["service"], registry=registry).labels("login")
    server, thread = start_http_server(int(sys.argv[1]), "127.0.0.1", registry)
    for line in sys.stdin:
        load.set(float(line))
    server.shutdown()
    thread.join()
    server.server_close()
