"""The breaker table in Redis or Valkey: the enrolled breakers and their policies."""

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
"""Breakers per round trip."""


class Table:
    """Reads and writes the table. Each record has a copy of its policy, so a decision reads only the record."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        # Version, rows and policies are replaced together: threads must not see the rows of another version.
        self._cached: tuple[bytes, Mapping[str, bytes], Mapping[str, Policy]] = b"", {}, {}

    def read(self) -> Mapping[str, Policy]:
        """Return the policies by ``namespace/name``. The table is fetched only when its version has changed.

        Raises:
            RecordCorrupt: a policy cannot be read.
            StoreUnavailable: the store does not answer.

        """
        cached_version, cached_rows, policies = self._cached
        with errors_translated("reading the breaker table"):
            version = cast("bytes | None", self._client.get(TABLE_VERSION)) or b"0"
            if version == cached_version:
                return policies
            rows = {key.decode(): raw for key, raw in cast("dict[bytes, bytes]", self._client.hgetall(TABLE)).items()}
        # An edit changes one row of ten thousand: only changed rows are decoded.
        table = {key: policies[key] if cached_rows.get(key) == raw else _policy(key, raw) for key, raw in rows.items()}
        self._cached = version, rows, table
        return table

    def write(self, policies: Sequence[Policy], now: int) -> tuple[str, ...]:
        """Replace the table; return the keys of removed breakers whose traffic is still moved. ``now`` is in ms."""
        with errors_translated("writing the breaker table"):
            enrolled = {key.decode() for key in cast("list[bytes]", self._client.hkeys(TABLE))}
        # Removal comes first: after a crash in between, the next call removes the same breakers again.
        moved = self.remove(enrolled - {policy.key for policy in policies})
        self.put(policies, now)
        return moved

    def put(self, policies: Sequence[Policy], now: int) -> None:
        """Add breakers, or change their policies; the rest of the table stays. ``now`` is in ms since 1970."""
        wanted = {policy.key: msgspec.json.encode(policy.brief()) for policy in policies}
        if not wanted:
            return
        with errors_translated("writing the breaker table"):
            self._write_policies(wanted, now)
            rows = cast("list[bytes | None]", self._client.hmget(TABLE, list(wanted)))
            changed = {key: raw for (key, raw), row in zip(wanted.items(), rows, strict=True) if raw != row}
            if not changed:
                return
            pipe = self._client.pipeline(transaction=True)
            pipe.hset(TABLE, mapping=changed)  # type: ignore[arg-type]
            pipe.sadd(NAMESPACES, *{key.partition("/")[0] for key in changed})
            pipe.set(TABLE_VERSION, next_version())
            pipe.execute()

    def remove(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Remove breakers from the table; return the keys of the breakers whose traffic is still moved."""
        with errors_translated("removing breakers from the table"):
            names = self._enrolled(sorted(keys))
            moved = tuple(key for key in names if self._retire(key))
            for start in range(0, len(names), CHUNK):
                chunk = names[start : start + CHUNK]
                keys_of_table = (TABLE, NAMESPACES, TABLE_VERSION)
                REMOVE.run(self._client.execute_command, keys_of_table, next_version(), *chunk)
        return moved

    def _enrolled(self, keys: list[str]) -> list[str]:
        rows = cast("list[bytes | None]", self._client.hmget(TABLE, keys)) if keys else []
        return [key for key, row in zip(keys, rows, strict=True) if row is not None]

    def _write_policies(self, wanted: Mapping[str, bytes], now: int) -> None:
        calls = [(keys_of(key), _put_arguments(key, policy, now)) for key, policy in wanted.items()]
        for start in range(0, len(calls), CHUNK):
            PUT.run_each(self._client, calls[start : start + CHUNK])

    def _retire(self, key: str) -> bool:
        """Cut a breaker off from decisions and clock; return whether its traffic is still moved. Its record stays."""
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
            return True  # unknown: an operator has to look


def _put_arguments(key: str, policy: bytes, now: int) -> tuple[bytes | str, ...]:
    entry = Entry(kind="policy", breaker=key, now=now, reason="the policy was changed")
    return policy, members_of(key)[0], msgspec.json.encode(entry), next_version()


def _policy(key: str, raw: bytes) -> Policy:
    try:
        return msgspec.json.decode(raw, type=Policy)
    except msgspec.DecodeError as error:
        message = f"{key}: the policy in Redis cannot be read ({error}): apply the policies again"
        raise RecordCorrupt(message) from error
