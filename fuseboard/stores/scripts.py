"""The Lua scripts of the store and the outbox, and how to run them.

Decisions are made in Python. A script compares the version that was decided on with the record, and writes everything
or nothing. Redis does not roll back, so a script runs the commands that can fail before its first write, and writes the
record last.

Each script is a file in ``lua/`` with KEYS, ARGV and reply in its header. It starts with the constants below as locals,
then ``lua/prelude.lua``.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis.exceptions import NoScriptError

from fuseboard.stores.records import DEBT, FIRST_AGAIN_MS, JOURNAL_CAP, LAST_AGAIN_MS, TIMER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

MAX_DRIFT_MS: Final = 250
"""A decision made for a moment further than this from the server's time is made again."""

_CONSTANTS: Final[dict[str, int | str]] = {
    "JOURNAL_CAP": JOURNAL_CAP,
    "MAX_DRIFT_MS": MAX_DRIFT_MS,
    "FIRST_AGAIN_MS": FIRST_AGAIN_MS,
    "LAST_AGAIN_MS": LAST_AGAIN_MS,
    "TIMER": TIMER,
    "DEBT": DEBT,
}


class Call(Protocol):
    """Sends a command to Redis and returns the reply."""

    def __call__(self, *command: Any) -> Any:  # noqa: ANN401  - commands and replies of Redis
        """Send a command; return its reply."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its SHA-1, the script's name in the server."""

    text: str
    sha: str

    def run(self, call: Call, keys: Sequence[str], *arguments: Any) -> Any:  # noqa: ANN401
        """Run the script and return its reply. A server without the script is given the script first."""
        command = self._command(keys, arguments)
        try:
            return call(*command)
        except NoScriptError:
            self.load(call)
            return call(*command)

    def run_each(self, client: Redis, calls: Iterable[tuple[Sequence[str], Sequence[Any]]]) -> None:
        """Run the script for each pair of keys and arguments, all in two round trips."""
        self.load(client.execute_command)
        pipe: Any = client.pipeline(transaction=False)
        for keys, arguments in calls:
            pipe.execute_command(*self._command(keys, arguments))
        pipe.execute()

    def load(self, call: Call) -> None:
        """Give the script to the server."""
        call("SCRIPT", "LOAD", self.text)

    def _command(self, keys: Sequence[str], arguments: Sequence[Any]) -> tuple[Any, ...]:
        return "EVALSHA", self.sha, len(keys), *keys, *arguments


def _script(name: str) -> Script:
    text = "\n".join((_constants(), _source("prelude"), _source(name)))
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _constants() -> str:
    return "".join(f"local {name} = {value!r}\n" for name, value in _CONSTANTS.items())


def _source(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


CHANGE: Final = _script("change")
PUT: Final = _script("put")
REMOVE: Final = _script("remove")
TAKE_DUE: Final = _script("take_due")
APPEND: Final = _script("append")
