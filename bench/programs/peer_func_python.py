"""The peer: a function under Knative's func-python (hypercorn), in its own environment."""

from __future__ import annotations

from typing import Any

from func_python.cloudevent import serve  # type: ignore[import-not-found]  # it is in the peers' environment only


async def handle(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  - ASGI
    """Answer 202 to an event that has been decoded."""
    del receive
    assert scope["event"]["id"]
    await send.http({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send.http({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    serve(handle)
