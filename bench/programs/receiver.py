"""The floor of the webhook: a bare Flask receiver that reads the JSON, stores nothing and answers 202."""

from __future__ import annotations

import sys

import waitress
from flask import Flask, Response, request

app = Flask("receiver", static_folder=None)


@app.post("/<path:_>")
@app.post("/")
def receive(_: str = "") -> Response:
    """Read the JSON and look into every alert once, as somebody must who does anything with it."""
    alerts = request.get_json()["alerts"]
    firing = sum(alert["status"] == "firing" for alert in alerts)
    assert firing == len(alerts)
    return Response(status=202)


if __name__ == "__main__":
    # As `fuseboard up` serves: the same server, and as many threads.
    waitress.serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=16)  # type: ignore[no-untyped-call]
