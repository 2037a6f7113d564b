"""Logging: one fixed configuration, JSON lines, changed by no environment variable, event or policy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def configure(stream: TextIO | None = None) -> None:
    """Write every line as JSON to ``stream`` (standard output), whatever the environment says."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stdout),
        cache_logger_on_first_use=False,
    )


def logger() -> FilteringBoundLogger:
    """Return the logger; name what happened, and give the rest as data."""
    return structlog.get_logger()  # type: ignore[no-any-return]


def _serialize(line: object, **_: Any) -> str:  # noqa: ANN401  - structlog passes json.dumps' arguments
    # Control characters are escaped by JSON: one event is one line, whatever an alert has in its labels.
    return msgspec.json.encode(line, enc_hook=repr).decode()
