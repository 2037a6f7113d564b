"""The views, read from the JSON of an older or a newer version."""

from __future__ import annotations

import json

import msgspec

from fuseboard.board.table import breaker_detail
from fuseboard.board.view import BreakerDetail, BreakerView
from fuseboard.events.json import encode_data
from tests.board.states import POLICIES, house


def test_what_is_encoded_is_decoded() -> None:
    """Each view survives the way over HTTP."""
    store = house().store
    for policy in POLICIES:
        sent = breaker_detail(store, policy.key)
        received = msgspec.json.decode(encode_data(sent), type=BreakerDetail)
        assert msgspec.structs.replace(received, spec=sent.spec) == sent
        assert (received.key, received.policy) == (policy.key, sent.policy)


def test_a_newer_servers_answer_can_be_read() -> None:
    """Unknown fields, states and values, in the policy too, are no error."""
    raw = json.loads(encode_data(breaker_detail(house().store, "shop/open")))
    raw |= {"mood": {"a": 1}, "state": "DREAMING"}
    raw["placement"] |= {"mood": 1, "result": "dreamt"}
    raw["policy"] |= {"mood": 1, "route": {"kind": "HTTPRoute"}, "mode": "Dream"}
    found = msgspec.json.decode(encode_data(raw), type=BreakerDetail)
    assert (found.state, found.placement.result, found.policy.mode) == ("DREAMING", "dreamt", "Dream")
    assert json.loads(bytes(found.spec)) == raw["policy"]


def test_an_older_servers_answer_can_be_read() -> None:
    """Missing fields are empty."""
    found = msgspec.json.decode(b'{"namespace": "shop", "name": "login", "state": "OPEN"}', type=BreakerView)
    assert (found.key, found.placement.owed, found.policy.mode) == ("shop/login", False, "")
