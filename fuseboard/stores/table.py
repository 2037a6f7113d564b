"""The breaker table in Redis or Valkey: which breakers there are, and by which policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from fuseboard.breaker.placement import Placement, Shares
from fuseboard.errors import RecordCorrupt
from fuseboard.policy.spec import Policy
from fuseboard.stores.connection import errors_translated
from fuseboard.stores.keys import NAMESPACES, TABLE, TABLE_VERSION, due_keys, keys_of, members_of, next_version
from fuseboard.stores.records import Entry
from fuseboard.stores.scripts import PUT, REMOVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import redis

CHUNK: Final = 500


class Table:
    """Reads and writes the table; every record has its own policy beside it, so that a decision needs no other key."""

    def __init__(self, client: redis.Redis) -> None:
        """Use this client; nothing is sent yet."""
        self._client = client
        # As one, since several threads read it: rows of one moment with policies of another would be mixed up.
        self._seen: tuple[bytes, Mapping[bytes, bytes], Mapping[str, Policy]] = b"", {}, {}

    def read(self) -> Mapping[str, Policy]:
        """Return the table by ``namespace/name``; it is fetched when it has changed."""
        seen, before, policies = self._seen
        with errors_translated("reading the breaker table"):
            version = cast("bytes | None", self._client.get(TABLE_VERSION)) or b"0"
            if version == seen:
                return policies
            rows = cast("dict[bytes, bytes]", self._client.hgetall(TABLE))
        # Of ten thousand rows, one edit has changed one.
        found = {
            key.decode(): policies[key.decode()] if before.get(key) == raw else _policy(key.decode(), raw)
            for key, raw in rows.items()
        }
        self._seen = version, rows, found
        return found

    def write(self, policies: Sequence[Policy], now: int) -> tuple[str, ...]:
        """Make these the table; return the keys of breakers that have left it while their traffic was moved."""
        with errors_translated("writing the breaker table"):
            known = {key.decode() for key in cast("list[bytes]", self._client.hkeys(TABLE))}
        # First those that go: a crash in between leaves them in the table, and they go again.
        moved = self.remove(known - {policy.key for policy in policies})
        self.put(policies, now)
        return moved

    def put(self, policies: Sequence[Policy], now: int) -> None:
        """Add these to the table, or give them their new policies; the others stay as they are."""
        wanted = {policy.key: msgspec.json.encode(policy.brief()) for policy in policies}
        if not wanted:
            return
        with errors_translated("writing the breaker table"):
            self._write_policies(wanted, now)
            found = cast("list[bytes | None]", self._client.hmget(TABLE, list(wanted)))
            changed = {key: raw for (key, raw), row in zip(wanted.items(), found, strict=True) if raw != row}
            if not changed:
                return
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(TABLE, mapping=changed)  # type: ignore[arg-type]
            pipe.sadd(NAMESPACES, *{key.partition("/")[0] for key in changed})
            pipe.set(TABLE_VERSION, next_version())
            pipe.execute()

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Take breakers from the table; return the keys of those whose traffic is still moved."""
        with errors_translated("taking breakers from the table"):
            names = self._there(sorted(keys))
            moved = tuple(key for key in names if self._retire(key))
            for start in range(0, len(names), CHUNK):
                chunk = names[start : start + CHUNK]
                keys_of_table = (TABLE, NAMESPACES, TABLE_VERSION)
                REMOVE.run(self._client.execute_command, keys_of_table, next_version(), *chunk)
        return moved

    def _there(self, keys: list[str]) -> list[str]:
        rows = cast("list[bytes | None]", self._client.hmget(TABLE, keys)) if keys else []
        return [key for key, row in zip(keys, rows, strict=True) if row is not None]

    def _write_policies(self, wanted: Mapping[str, bytes], now: int) -> None:
        calls = [(keys_of(key), self._arguments(key, policy, now)) for key, policy in wanted.items()]
        for start in range(0, len(calls), CHUNK):
            PUT.run_each(self._client, calls[start : start + CHUNK])

    def _arguments(self, key: str, policy: bytes, now: int) -> tuple[bytes | str, ...]:
        entry = Entry(kind="policy", breaker=key, now=now, reason="the policy was changed")
        return policy, members_of(key)[0], msgspec.json.encode(entry), next_version()

    def _retire(self, key: str) -> bool:
        """Take a breaker out of service; return whether its traffic is still moved. Its record stays."""
        record, members = keys_of(key)[0], members_of(key)
        due, attempts = due_keys(key.partition("/")[0])
        pipe = self._client.pipeline(transaction=True)
        pipe.hget(record, "placement")
        pipe.zrem(due, *members)
        pipe.hdel(attempts, *members)
        pipe.hset(record, "version", next_version())
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
