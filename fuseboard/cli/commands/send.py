"""``fuseboard send``: an alert, an event, or a file, to try a breaker."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import click

from fuseboard.cli.client import post, url_option
from fuseboard.errors import InvalidInput
from fuseboard.events.event import JSON
from fuseboard.events.json import decode_json, encode_data
from fuseboard.events.wire import STRUCTURED

_NEVER: Final = "0001-01-01T00:00:00Z"
"""Alertmanager's end of an alert that is still firing."""


class _Message(NamedTuple):
    """A request body, and the receiver for it."""

    path: str
    content_type: str
    body: bytes


@click.command()
@click.argument("content", metavar="alert|event|FILE")
@click.option("--namespace", default="shop", show_default=True, help="Namespace of the target.")
@click.option("--deployment", default="login", show_default=True, help="The target; of an event also the breaker.")
@click.option("--alertname", default="HighErrorRate", show_default=True, help="Name of the alert, reason of the event.")
@click.option("--severity", default="warning", show_default=True, help="info, warning, critical or page.")
@click.option("--resolved", is_flag=True, help="The alert is over.")
@url_option
def send(content: str, url: str, **alert: Any) -> None:  # noqa: ANN401  - the options of an alert
    """Send an alert, a failure event, or a FILE with either.

    An alert goes to the receiver of Alertmanager's webhook, an event to the receiver of CloudEvents.

    \b
    Examples:
      fuseboard send alert --severity critical
      fuseboard send alert --severity critical --resolved
      fuseboard send event --alertname OOMKilling
      fuseboard send examples/01-one-alert/warning.json
    """
    if content == "alert":
        message = _Message("/alertmanager", JSON, encode_data(_notification(**alert)))
    elif content == "event":
        message = _Message("/events", STRUCTURED, encode_data(_failure(**alert)))
    else:
        message = _from_file(Path(content))
    post(f"{url}{message.path}", message.body, message.content_type)
    click.echo(f"{content} accepted by {url}{message.path}; `fuseboard status` shows the effect")


def _from_file(path: Path) -> _Message:
    """Read a CloudEvent or a notification of Alertmanager, and choose the receiver by its content."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}): give alert, event, or a JSON file") from error
    content = decode_json(body)
    if isinstance(content, dict) and "specversion" in content:
        return _Message("/events", STRUCTURED, body)
    return _Message("/alertmanager", JSON, body)


def _notification(*, namespace: str, deployment: str, alertname: str, severity: str, resolved: bool) -> dict[str, Any]:
    """Return a notification of Alertmanager's webhook, version 4."""
    labels = {"alertname": alertname, "namespace": namespace, "deployment": deployment, "severity": severity}
    now = datetime.now(UTC).isoformat()
    alert = {
        "status": "resolved" if resolved else "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": now,
        "endsAt": now if resolved else _NEVER,
    }
    return {"version": "4", "status": alert["status"], "receiver": "fuseboard", "truncatedAlerts": 0, "alerts": [alert]}


def _failure(*, namespace: str, deployment: str, alertname: str, severity: str, resolved: bool) -> dict[str, Any]:
    """Return a CloudEvent with a failure; without --severity, the failure weighs as an occurrence."""
    if resolved:
        raise InvalidInput("an event cannot be resolved: send an alert with --resolved")
    name = secrets.token_hex(8)
    severity_source = click.get_current_context().get_parameter_source("severity")
    failure = {"key": name, "cause": f"{alertname} Deployment/{deployment}"}
    if severity_source is not click.core.ParameterSource.DEFAULT:
        failure["severity"] = severity
    return {
        "specversion": "1.0",
        "type": "dev.fuseboard.failure.detected",
        "source": "/fuseboard/send",
        "id": name,
        "subject": f"{namespace}/{deployment}",
        "data": {"failures": [failure]},
    }
