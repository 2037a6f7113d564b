"""The breaker table in Redis or Valkey: which breakers there are, and by which policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from fuseboard.errors import RecordCorrupt
from fuseboard.placement import Placement, Shares
from fuseboard.policy import Policy
from fuseboard.stores import Entry
from fuseboard.stores.connection import errors_translated
from fuseboard.stores.scripts import APPLY, NAMESPACES, TABLE, TABLE_VERSION, due_keys, keys_of, members_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

CHUNK: Final = 500


class Table:
    """Reads and writes the table; every record has its own policy beside it, so that a decision needs no other key."""

    def __init__(self, client: redis.Redis) -> None:
        """Use this client; nothing is sent yet."""
        self._client = client
        self._apply = client.register_script(APPLY)
        self._policies: Mapping[str, Policy] = {}
        self._version = b""

    def read(self) -> Mapping[str, Policy]:
        """Return the table by ``namespace/name``; it is fetched when it has changed."""
        with errors_translated("reading the breaker table"):
            version = cast("bytes | None", self._client.get(TABLE_VERSION)) or b"0"
            if version != self._version:
                rows = cast("dict[bytes, bytes]", self._client.hgetall(TABLE))
                self._policies = {key.decode(): _policy(key.decode(), raw) for key, raw in rows.items()}
                self._version = version
        return self._policies

    def write(self, policies: Sequence[Policy], now: int) -> tuple[str, ...]:
        """Make these the table; return the keys of breakers that have left it while their traffic was moved."""
        wanted = {policy.key: msgspec.json.encode(policy) for policy in policies}
        with errors_translated("writing the breaker table"):
            known = {key.decode() for key in cast("list[bytes]", self._client.hkeys(TABLE))}
            # First those that go: a crash in between leaves them in the table, and they go again.
            moved = tuple(key for key in sorted(known - wanted.keys()) if self._retire(key))
            self._write_policies(wanted, now)
            pipe = self._client.pipeline(transaction=True)
            pipe.delete(TABLE, NAMESPACES)
            if wanted:
                pipe.hset(TABLE, mapping=wanted)  # type: ignore[arg-type]
                pipe.sadd(NAMESPACES, *{policy.namespace for policy in policies})
            pipe.incr(TABLE_VERSION)
            pipe.execute()
        return moved

    def _write_policies(self, wanted: Mapping[str, bytes], now: int) -> None:
        keys = list(wanted)
        self._client.script_load(APPLY)
        for start in range(0, len(keys), CHUNK):
            pipe = self._client.pipeline(transaction=False)
            for key in keys[start : start + CHUNK]:
                entry = Entry(kind="policy", breaker=key, now=now, reason="the policy was changed")
                names = keys_of(key)
                arguments = (wanted[key], members_of(key)[0], msgspec.json.encode(entry))
                pipe.evalsha(self._apply.sha, len(names), *names, *arguments)
            pipe.execute()

    def _retire(self, key: str) -> bool:
        """Take a breaker out of service; return whether its traffic is still moved. Its record stays."""
        record, members = keys_of(key)[0], members_of(key)
        due, attempts = due_keys(key.partition("/")[0])
        pipe = self._client.pipeline(transaction=True)
        pipe.hget(record, "placement")
        pipe.zrem(due, *members)
        pipe.hdel(attempts, *members)
        pipe.hincrby(record, "version", 1)
        pipe.hdel(record, "policy", "dues")
        raw = pipe.execute()[0]
        try:
            return msgspec.json.decode(raw or b"{}", type=Placement).shares != Shares()
        except msgspec.DecodeError:
            return True  # nobody knows: a human has to look


def _policy(key: str, raw: bytes) -> Policy:
    try:
        return msgspec.json.decode(raw, type=Policy)
    except msgspec.DecodeError as error:
        message = f"{key}: its policy in Redis cannot be read ({error}): apply the policies again"
        raise RecordCorrupt(message) from error
