"""Logging in a fixed format: JSON lines. No environment variable, event or policy changes the configuration."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

# Without the values of local variables: an alert's labels or a credential may be among them.
_TRACE: Final = ExceptionDictTransformer(show_locals=False, max_frames=20)


def configure(stream: TextIO | None = None) -> None:
    """Write every line as JSON to ``stream`` (standard output by default), independent of the environment."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_TRACE),
            # In ASCII: no line end, ANSI sequence or bidi mark of an alert's label reaches a reader's terminal.
            structlog.processors.JSONRenderer(ensure_ascii=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stdout),
        cache_logger_on_first_use=False,
    )


def logger() -> FilteringBoundLogger:
    """Return the logger. The first argument names the event, keywords carry its data."""
    return structlog.get_logger()  # type: ignore[no-any-return]
