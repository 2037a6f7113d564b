"""``fuseboard send``: an alert, an event, or a file, to try a breaker with."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fuseboard.cli.client import request, url_option
from fuseboard.errors import InvalidInput
from fuseboard.events.event import JSON
from fuseboard.events.json import decode_json
from fuseboard.events.wire import STRUCTURED

_NEVER = "0001-01-01T00:00:00Z"


@click.command()
@click.argument("what", metavar="alert|event|FILE")
@click.option("--namespace", default="shop", show_default=True, help="Namespace of the target.")
@click.option("--deployment", default="login", show_default=True, help="The target; also the breaker of an event.")
@click.option("--alertname", default="HighErrorRate", show_default=True, help="Name of the alert, reason of the event.")
@click.option("--severity", default="warning", show_default=True, help="info, warning, critical or page.")
@click.option("--resolved", is_flag=True, help="The alert is over.")
@url_option
def send(what: str, url: str, **alert: Any) -> None:  # noqa: ANN401  - click's options
    """Send an alert as Alertmanager does, a failure event as a broker does, or a FILE of either.

    \b
    Examples:
      fuseboard send alert --severity critical
      fuseboard send alert --severity critical --resolved
      fuseboard send event --alertname OOMKilling
      fuseboard send examples/01-one-alert/warning.json
    """
    if what == "alert":
        path, content_type, body = "/alertmanager", JSON, json.dumps(_notification(**alert)).encode()
    elif what == "event":
        path, content_type, body = "/events", STRUCTURED, json.dumps(_failure(**alert)).encode()
    else:
        path, content_type, body = _file(Path(what))
    request("POST", f"{url}{path}", body, content_type)
    click.echo(f"{what} accepted by {url}{path}; `fuseboard status` shows what came of it")


def _file(path: Path) -> tuple[str, str, bytes]:
    """Return where a file's content goes, and how it is announced."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot be read ({error.strerror}): give alert, event, or a file of JSON"
        ) from error
    content = decode_json(body)
    if isinstance(content, dict) and "specversion" in content:
        return "/events", STRUCTURED, body
    return "/alertmanager", JSON, body


def _notification(*, namespace: str, deployment: str, alertname: str, severity: str, resolved: bool) -> dict[str, Any]:
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
    if resolved:
        raise InvalidInput("an event has happened and cannot be resolved: send an alert with --resolved")
    name = secrets.token_hex(8)
    given = click.get_current_context().get_parameter_source("severity")
    failure = {"key": name, "cause": f"{alertname} Deployment/{deployment}"}
    if given is not click.core.ParameterSource.DEFAULT:
        failure["severity"] = severity
    return {
        "specversion": "1.0",
        "type": "dev.fuseboard.failure.detected",
        "source": "/fuseboard/send",
        "id": name,
        "subject": f"{namespace}/{deployment}",
        "data": {"failures": [failure]},
    }
