"""The read API: breakers and their journal as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, request

from fuseboard.board.story import journal_json
from fuseboard.board.table import all_breakers, breaker_detail
from fuseboard.errors import InvalidInput, NotEnrolled
from fuseboard.events.json import encode_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.stores import Store
    from fuseboard.stores.records import Entry

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000


def blueprint(store: Store, ingested: Callable[[int], list[Entry]]) -> Blueprint:
    """Return the routes below ``/api``; all are read-only.

    ``ingested`` returns the newest journal entries of the ingress, of all breakers, newest first.
    """
    api = Blueprint("api", __name__, url_prefix="/api")

    @api.get("/breakers")
    def breakers() -> Response:
        return _json(all_breakers(store))

    @api.get("/breakers/<namespace>/<name>")
    def breaker(namespace: str, name: str) -> Response:
        return _json(breaker_detail(store, f"{namespace}/{name}"))

    @api.get("/journal")
    def journal() -> Response:
        limit, key = _limit(), request.args.get("breaker")
        table = store.table()
        if key is not None and key not in table:
            raise NotEnrolled(f"{key} is not in the breaker table: GET /api/breakers lists its {len(table)} breakers")
        entries = store.journal([key] if key else list(table), limit)
        if key is None:
            entries = sorted(entries + ingested(limit), key=lambda entry: entry.now, reverse=True)[:limit]
        return _json([journal_json(entry) for entry in entries])

    @api.errorhandler(NotEnrolled)
    def not_found(error: NotEnrolled) -> Response:
        return Response(
            encode_data({"status": 404, "detail": str(error)}), 404, content_type="application/problem+json"
        )

    return api


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT))
    if not is_number or not 1 <= int(text) <= MAX_LIMIT:
        raise InvalidInput(f"limit is {text[:20]!r}: give a number from 1 to {MAX_LIMIT}")
    return int(text)


def _json(content: object) -> Response:
    return Response(encode_data(content), content_type="application/json")
