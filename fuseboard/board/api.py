"""The read API: breakers and their journal as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from fuseboard.errors import InvalidInput, NotEnrolled
from fuseboard.events import encode_data
from fuseboard.placement import owed
from fuseboard.state import verified

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.stores import Entry, Record, Store

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000


def blueprint(store: Store, ingested: Callable[[int], list[Entry]]) -> Blueprint:
    """Return ``/api``: it only reads."""
    api = Blueprint("api", __name__, url_prefix="/api")

    @api.get("/breakers")
    def breakers() -> Response:
        return _json([_view(store.read(key)) for key in sorted(store.table())])

    @api.get("/breakers/<namespace>/<name>")
    def breaker(namespace: str, name: str) -> Response:
        return _json(_view(store.read(f"{namespace}/{name}")))

    @api.get("/journal")
    def journal() -> Response:
        limit, key = _limit(), request.args.get("breaker")
        table = store.table()
        if key is not None and key not in table:
            raise NotEnrolled(f"{key} is not in the breaker table: give namespace/name of one of {sorted(table)[:10]}")
        entries = store.journal([key] if key else list(table), limit)
        if key is None:
            entries = sorted(entries + ingested(limit), key=lambda entry: entry.now, reverse=True)[:limit]
        return _json([_told(entry) for entry in entries])

    @api.errorhandler(NotEnrolled)
    def unknown(error: NotEnrolled) -> Response:
        return Response(
            encode_data({"status": 404, "detail": str(error)}), 404, content_type="application/problem+json"
        )

    return api


def _limit() -> int:
    given = request.args.get("limit", str(DEFAULT_LIMIT))
    digits = given.isascii() and given.isdigit() and len(given) <= len(str(MAX_LIMIT))
    if not digits or not 1 <= int(given) <= MAX_LIMIT:
        raise InvalidInput(f"limit is {given[:20]!r}: give a number from 1 to {MAX_LIMIT}")
    return int(given)


def _view(record: Record) -> dict[str, Any]:
    """Return one breaker as people and ``fuseboard status`` want it."""
    breaker, placement, policy = record.breaker, record.placement, record.policy
    return {
        "namespace": policy.namespace,
        "name": policy.metadata.name,
        "state": breaker.state,
        "epoch": breaker.epoch,
        "mode": policy.spec.mode,
        "since": _iso(breaker.since),
        "reason": breaker.reason,
        "weight": breaker.weight,
        "causes": breaker.causes,
        "placement": {
            "epoch": placement.epoch,
            "step": placement.step,
            "shares": placement.shares,
            "result": placement.result,
            "reason": placement.reason,
            "rehearsed": placement.rehearsed,
            "verifiedAt": _iso(verified(breaker, placement)),
            "owed": owed(placement, breaker),
        },
        "due": {kind: _iso(moment) for kind, moment in record.dues.items()},
        "policy": policy.spec,
    }


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(entry)
    return {"at": _iso(entry.now), **told}


def _iso(moment: int) -> str | None:
    if not moment:
        return None
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(content: object) -> Response:
    return Response(encode_data(content), content_type="application/json")
