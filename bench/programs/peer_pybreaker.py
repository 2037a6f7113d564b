"""The peer: pybreaker with its storage in Redis, in its own environment.

Reads lines ``failure|success THREADS CALLS`` and answers each with the calls per second.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from threading import Thread

import pybreaker
import redis


def _fail() -> None:
    raise ValueError


def _succeed() -> None:
    return


def _breaker(url: str, name: str) -> pybreaker.CircuitBreaker:
    storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, redis.Redis.from_url(url), namespace=name)
    return pybreaker.CircuitBreaker(fail_max=10**9, state_storage=storage)


def _call(breaker: pybreaker.CircuitBreaker, kind: str, calls: int) -> None:
    guarded = {"failure": _fail, "success": _succeed}[kind]
    for _ in range(calls):
        with contextlib.suppress(ValueError):  # what the guarded call raised: the breaker has counted it
            breaker.call(guarded)


def _rate(breakers: list[pybreaker.CircuitBreaker], kind: str, calls: int) -> float:
    threads = [Thread(target=_call, args=(breaker, kind, calls // len(breakers))) for breaker in breakers]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return calls / (time.perf_counter() - begin)


def main() -> None:
    """Answer until standard input ends."""
    logging.disable(logging.CRITICAL)
    breakers = [_breaker(sys.argv[1], f"bench-{number}") for number in range(8)]
    for line in sys.stdin:
        kind, threads, calls = line.split()
        print(_rate(breakers[: int(threads)], kind, int(calls)), flush=True)


if __name__ == "__main__":
    main()
