"""Event objects as an API server sent them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHAPES = Path(__file__).parent / "kubernetes_events"


def shape(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  - any JSON
    """Return an Event object as an API server sent it, with some fields changed; None takes one away."""
    found: dict[str, Any] = json.loads((SHAPES / f"{name}.json").read_text())
    return {key: value for key, value in {**found, **changes}.items() if value is not None}
