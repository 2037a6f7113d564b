"""The read API's JSON, byte for byte: people's scripts read it.

``wire.json`` has the answers as they were when the shape was fixed. ``python -m tests.board.test_api_json`` writes them
anew; a difference in it is a change of the API.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
from flask import Flask

from fuseboard.board.api import blueprint
from fuseboard.events.json import encode_data
from tests.board.states import POLICIES, house

GOLDEN: Final = Path(__file__).with_name("wire.json")


def answers() -> dict[str, Any]:
    """Return the API's answers by their path, each indented; a policy's spec is only named."""
    found = house()
    app = Flask(__name__)
    app.register_blueprint(blueprint(found.store, lambda _: []))
    client = app.test_client()
    paths = ["/api/breakers", *(f"/api/breakers/{each.key}" for each in POLICIES), "/api/journal?breaker=shop/open"]
    return {path: _indented(client.get(path).data) for path in paths}


def _indented(body: bytes) -> list[str]:
    for each in POLICIES:
        body = body.replace(b'"policy":' + encode_data(each.spec), b'"policy":"the spec of %s"' % each.key.encode())
    return msgspec.json.format(body, indent=1).decode().splitlines()


def test_the_answers_are_as_they_always_were() -> None:
    """Names, values, nulls and order; a policy is its whole spec."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = answers()
    assert found.keys() == golden.keys()
    for path, lines in golden.items():
        assert found[path] == lines, path


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(answers(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
