"""Logging is fixed: JSON lines, whatever comes."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseboard import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Log into memory, and put the configuration back."""
    stream = io.StringIO()
    logs.configure(stream)
    yield stream
    logs.configure()


@given(text=st.text())
def test_one_event_is_one_line_of_json(text: str) -> None:
    """Newlines, ANSI, bidi marks and JSON in a label neither end the line nor add to it: T6."""
    stream = io.StringIO()
    logs.configure(stream)

    logs.logger().info("event.seen", label=text)

    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert json.loads(line)["label"] == text


def test_a_trace_has_no_values(lines: io.StringIO) -> None:
    """The trace of a bug says where it was, and not what the variables held: T5."""
    secret = "swordfish"  # noqa: S105  - a canary
    hidden = [secret]

    try:
        hidden.remove("another")
    except ValueError:
        logs.logger().exception("function.bug")

    found = json.loads(lines.getvalue())
    assert found["exception"][0]["exc_type"] == "ValueError"
    assert secret not in lines.getvalue()


def test_the_environment_changes_nothing(lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable turns debug lines on or the lines off."""
    for name in ("LOG_LEVEL", "FUSEBOARD_LOG_LEVEL", "PYTHONDEVMODE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.setenv(name, "1")

    logs.logger().debug("hidden")
    logs.logger().info("shown")

    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["shown"]
