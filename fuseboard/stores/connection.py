"""The connection to Redis or Valkey: timeouts, errors, and the server's clock."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Lock, local
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakSet

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fuseboard.errors import CannotStart, RecordCorrupt, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 1.0
"""The innermost timeout: shorter than the timeouts of the HTTP contract around a decision."""


def connect(url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> redis.Redis:
    """Return a client for a URL, without a connection yet.

    Raises:
        CannotStart: the URL is malformed.

    """
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=answer_timeout_s,
            # Retried once, for a connection that the server closed while idle. Every script may be sent twice.
            retry=Retry(NoBackoff(), 1),
            client_name="fuseboard",
        )
    except ValueError as error:
        raise CannotStart(
            f"the store's URL is malformed ({error}): use a URL such as redis://127.0.0.1:6379/0"
        ) from error


class ThreadConnection:
    """A connection for each thread, for the calls of a decision: a connection from the pool costs half a call more.

    The connection of a thread closes when its thread ends, or at ``close``.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._make = client.connection_pool.make_connection
        self._thread = local()
        self._lock = Lock()
        self._made: WeakSet[Any] = WeakSet()

    def call(self, *command: Any) -> Any:  # noqa: ANN401  - commands and replies of Redis
        """Send a command and return its reply. A broken connection is retried once, as the client does."""
        try:
            return self._call(command)
        except (redis.ConnectionError, redis.TimeoutError):
            return self._call(command)

    def _call(self, command: tuple[Any, ...]) -> Any:  # noqa: ANN401
        connection: Any = getattr(self._thread, "connection", None) or self._connect()
        try:
            connection.send_command(*command)
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # a late reply must not be read as the reply to another command
            raise

    def _connect(self) -> Any:  # noqa: ANN401
        connection = self._thread.connection = self._make()
        with self._lock:
            self._made.add(connection)
        return connection

    def close(self) -> None:
        """Close the connections of all threads; a later call opens a new one."""
        with self._lock:
            for connection in self._made:
                connection.disconnect()


@contextmanager
def errors_translated(what: str) -> Iterator[None]:
    """Raise Fuseboard's errors instead of the Redis client's; ``what`` says in the message what was being done.

    Raises:
        RecordCorrupt: a key is of another type than Fuseboard writes.
        StoreUnavailable: the server refused a command or did not answer.

    """
    try:
        yield
    except redis.ResponseError as error:
        if "WRONGTYPE" in str(error):
            message = f"{what}: a key in Redis is of another type than Fuseboard writes: {error}"
            raise RecordCorrupt(message) from error
        message = f"{what}: Redis refused: {error}"
        raise StoreUnavailable(message) from error
    except redis.RedisError as error:
        message = f"{what}: Redis does not answer: {error}"
        raise StoreUnavailable(message) from error


def require_persistence(client: redis.Redis) -> None:
    """Refuse a server that may lose data.

    A managed server may hide its configuration; such a server is accepted.

    Raises:
        CannotStart: the server may evict keys, or does not write them to disk.
        StoreUnavailable: the server does not answer.

    """
    with errors_translated("checking the store at start-up"):
        found: dict[str, str] = {}
        for name in ("maxmemory-policy", "appendonly"):
            try:
                found |= client.config_get(name)  # type: ignore[arg-type]
            except redis.ResponseError:
                continue
    settings = {_text(name): _text(value) for name, value in found.items()}
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        message = (
            f"Redis has maxmemory-policy {settings['maxmemory-policy']} and could delete an open breaker, which "
            "would then count as closed. Set maxmemory-policy to noeviction."
        )
        raise CannotStart(message)
    if settings.get("appendonly", "yes") != "yes":
        message = "Redis has appendonly no: a restart would forget every breaker. Set appendonly to yes."
        raise CannotStart(message)


class StoreClock:
    """Estimates the store's time, from the store's last reply and the monotonic time since then."""

    def __init__(self) -> None:
        self._offset_ms = 0

    def now(self) -> int:
        """Return the estimate, in milliseconds since 1970; before the store's first reply, a meaningless number."""
        return _monotonic_ms() + self._offset_ms

    def set(self, now: int) -> None:
        """Set the estimate to the store's time, in milliseconds since 1970."""
        self._offset_ms = now - _monotonic_ms()


def time_ms(reply: object) -> int:
    """Return the reply to TIME, seconds and microseconds, in milliseconds since 1970."""
    seconds, micros = cast("tuple[int, int]", reply)
    return seconds * 1000 + micros // 1000


def stream_id_ms(identifier: bytes) -> int:
    """Return when an entry was added to a stream, in milliseconds since 1970: the first part of its id."""
    return int(identifier.partition(b"-")[0])


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
