"""The connection to Redis or Valkey, and what its errors mean."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fuseboard.errors import CannotStart, RecordCorrupt, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 1.0
"""Of the timeouts in the HTTP contract: the store's is the innermost."""


def connect(url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> redis.Redis:
    """Return a client; nothing is sent yet.

    Raises:
        CannotStart: the URL is none.

    """
    try:
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=answer_timeout_s,
            # Once: a connection that the server closed while idle. Every script may be sent twice.
            retry=Retry(NoBackoff(), 1),
            client_name="fuseboard",
        )
    except ValueError as error:
        raise CannotStart(
            f"the store's URL cannot be used ({error}): give one such as redis://127.0.0.1:6379/0"
        ) from error


class ThreadConnection(local):
    """One connection per thread, for what is called at every decision: taking one from the pool costs half a call."""

    def __init__(self, client: redis.Redis) -> None:
        self._connection = client.connection_pool.make_connection()

    def call(self, *command: Any) -> Any:  # noqa: ANN401  - what Redis takes and answers
        """Send a command and return its answer; once more where the connection broke, as the client does."""
        try:
            return self._call(command)
        except (redis.ConnectionError, redis.TimeoutError):
            return self._call(command)

    def _call(self, command: tuple[Any, ...]) -> Any:  # noqa: ANN401
        connection: Any = self._connection
        try:
            connection.send_command(*command)
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # an answer that is still on its way must not be taken for that of another command
            raise


@contextmanager
def errors_translated(what: str) -> Iterator[None]:
    """Raise Fuseboard's errors instead of the client's.

    Raises:
        RecordCorrupt: a key holds something else than it should.
        StoreUnavailable: anything else that the server or the way to it did.

    """
    try:
        yield
    except redis.ResponseError as error:
        if "WRONGTYPE" in str(error):
            message = f"{what}: a key in Redis is of another type than Fuseboard wrote: {error}"
            raise RecordCorrupt(message) from error
        message = f"{what}: Redis refused: {error}"
        raise StoreUnavailable(message) from error
    except redis.RedisError as error:
        message = f"{what}: Redis does not answer: {error}"
        raise StoreUnavailable(message) from error


def refuse_forgetful(client: redis.Redis) -> None:
    """Do nothing if the server keeps what it is given.

    Raises:
        CannotStart: it could evict keys, or does not write them to disk.
        StoreUnavailable: it does not answer.

    """
    with errors_translated("the check at start-up"):
        found: dict[str, str] = {}
        for name in ("maxmemory-policy", "appendonly"):
            try:
                found |= client.config_get(name)  # type: ignore[arg-type]
            except redis.ResponseError:
                continue  # a managed server may hide its configuration: then it answers for it
    settings = {_text(name): _text(value) for name, value in found.items()}
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        message = (
            f"Redis has maxmemory-policy {settings['maxmemory-policy']}: it could delete an open breaker, which would "
            "then count as closed. Set maxmemory-policy to noeviction."
        )
        raise CannotStart(message)
    if settings.get("appendonly", "yes") != "yes":
        message = "Redis has appendonly no: a restart would forget every breaker. Set appendonly to yes."
        raise CannotStart(message)


class StoreClock:
    """An estimate of the store's time: its last answer, and the monotonic time since then."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._offset_ms: int | None = None

    @property
    def known(self) -> bool:
        """Whether the store has told its time yet."""
        return self._offset_ms is not None

    def now(self) -> int:
        """Return the store's time, in milliseconds since 1970, as far as it is known."""
        return _monotonic_ms() + (self._offset_ms or 0)

    def told(self, now: int) -> None:
        """Take note of the store's time."""
        self._offset_ms = now - _monotonic_ms()


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
