"""The peer: a function under Google's functions-framework, in its own environment."""

from __future__ import annotations

from typing import Any


def handle(event: Any) -> None:  # noqa: ANN401  - cloudevents.http.CloudEvent of another version than ours
    """Do nothing with an event that has been decoded."""
    assert event["id"]
