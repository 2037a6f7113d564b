"""``fuseboard trip``, ``reset``, ``hold`` and ``release``: an operator asks, with name and reason.

A request is a signal like any other: it goes into the outbox, a function decides on it, and the journal has it.
Nothing is to be confirmed; what came of it is said in one line.
"""

from __future__ import annotations

import getpass
import re
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import click

from fuseboard.breaker.state import State
from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import moment, plain, serving
from fuseboard.errors import FuseboardError
from fuseboard.events.event import Event
from fuseboard.events.types import Action, OperatorRequested
from fuseboard.times import duration_ms, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.cli.access import Access

WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 0.1

NOT_YET: Final = 3
"""Exit code: it is taken in, and not yet decided or not yet in place."""

SOURCE: Final = "/fuseboard/operator"

_DURATION: Final = re.compile(r"([0-9]{1,9}(ms|s|m|h))+", re.ASCII)
_LONGEST_MS: Final = 30 * 24 * 3_600_000
_LONGEST_NAME: Final = 128
_LONGEST_REASON: Final = 512


def _lasts(_: click.Context, __: click.Parameter, value: str | None) -> int:
    """Return a duration in milliseconds; 0 where none is given."""
    if value is None:
        return 0
    length = duration_ms(value) if _DURATION.fullmatch(value) else 0
    if not 0 < length <= _LONGEST_MS:
        raise click.BadParameter(f"{value!r} is no duration: give one such as 30m, 2h or 1h30m, of at most 30 days")
    return length


def _line(longest: int) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        line = value.strip()
        if not line or len(line) > longest or not line.isprintable():
            raise click.BadParameter(f"give one line of at most {longest} characters: it goes on the record")
        return line

    return check


def _me() -> str:
    """Return who is logged in, and where."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:_LONGEST_NAME]
    except (KeyError, OSError) as error:  # a pod's user has no name
        raise click.UsageError("nobody is logged in here: give your name with --as") from error


def _asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what every request needs."""
    for option in (
        access_option,
        click.option(
            "--wait/--no-wait", "waits", default=True, help=f"Wait up to {WITHIN_S:g} s for what comes of it."
        ),
        click.option(
            "--as", "operator", default=_me, show_default="user@host", callback=_line(_LONGEST_NAME), help="Your name."
        ),
        click.option("--reason", required=True, callback=_line(_LONGEST_REASON), help="Why; it goes on the record."),
        click.argument("key", metavar="NAMESPACE/NAME", callback=a_key),
    ):
        command = option(command)
    return command


_for: Final = click.option(
    "--for", "duration_ms", metavar="DURATION", callback=_lasts, help="How long, such as 30m or 2h. [default: for good]"
)


@click.command()
@_asks
@_for
def trip(**asked: Any) -> None:  # noqa: ANN401  - click's options
    """Open a breaker: the standby takes the traffic.

    One that is open already becomes ForcedOpen, and stays open until `release` or `reset`. With --for it is
    ForcedOpen for that long. Where the mode is Observe or Disabled, no traffic is moved.

    \b
    Examples:
      fuseboard trip shop/login --reason "bad release, INC-42"
      fuseboard trip shop/login --reason "migration" --for 2h --as anna
    """
    _ask(Action.TRIP, **asked)


@click.command()
@_asks
def reset(**asked: Any) -> None:  # noqa: ANN401  - as above
    """Close a breaker: its target takes all the traffic, and what spoke against it is forgotten.

    It ends ForcedOpen and a latch, and does not end a hold.

    \b
    Example:
      fuseboard reset shop/login --reason "rolled back"
    """
    _ask(Action.RESET, **asked)


@click.command()
@_asks
@_for
def hold(**asked: Any) -> None:  # noqa: ANN401  - as above
    """Let nothing move a breaker but `trip` and `reset`, until `release`.

    What happens meanwhile is on the record.

    \b
    Example:
      fuseboard hold shop/login --reason "load test" --for 30m
    """
    _ask(Action.HOLD, **asked)


@click.command()
@_asks
def release(**asked: Any) -> None:  # noqa: ANN401  - as above
    """End a hold, or ForcedOpen: the breaker goes on by itself.

    \b
    Example:
      fuseboard release shop/login --reason "load test is over"
    """
    _ask(Action.RELEASE, **asked)


def _ask(action: Action, access: Access, key: str, *, waits: bool, **said: Any) -> None:  # noqa: ANN401  - as above
    before = known(access, key)
    request = OperatorRequested(action, **said)
    event = Event(id=secrets.token_hex(16), source=SOURCE, subject=key, data=request)
    access.send(event)
    if not waits:
        click.echo(f"{key}: {action} is taken in as {event.id}; `fuseboard explain {key}` shows what came of it")
        return
    give_up = time.monotonic() + WITHIN_S
    entry = _decided(access, key, f"{event.source} {event.id}", give_up)
    if entry is None:
        click.echo(f"{key}: {action} is taken in, and not decided within {WITHIN_S:g} s: it is not lost, but late")
        raise SystemExit(NOT_YET)
    if entry.get("result") == "stale":
        raise FuseboardError(
            f"{key}: {action} came too late and was not done: the breaker had moved, or somebody else had asked for "
            f"something, since it was sent: look with `fuseboard explain {key}`, then ask again"
        )
    after = _placed(access, key, give_up)
    click.echo(plain(f"{key} {_became(action, request, before, entry)}; {_served(after)}"))
    if after["placement"]["owed"]:
        raise SystemExit(NOT_YET)


def _decided(access: Access, key: str, name: str, give_up: float) -> dict[str, Any] | None:
    """Wait until a request is on the record."""
    while True:
        for entry in access.journal(key, 50):
            if entry["kind"] == "step" and entry.get("event") == name:
                return dict(entry)
        if time.monotonic() > give_up:
            return None
        time.sleep(LOOK_EVERY_S)


def _placed(access: Access, key: str, give_up: float) -> Any:  # noqa: ANN401  - JSON
    """Wait until the placement is what the breaker asks for, or the time is over."""
    while True:
        found = access.breaker(key)
        if not found["placement"]["owed"] or time.monotonic() > give_up:
            return found
        time.sleep(LOOK_EVERY_S)


def _became(action: Action, request: OperatorRequested, before: dict[str, Any], entry: dict[str, Any]) -> str:
    """Say what a request made of a breaker."""
    state, told, asked = entry["state"], entry.get("reason", ""), f"{request.operator}: {request.reason}"
    lasts = _until(entry, request)
    if action is Action.TRIP:
        forced = f", ForcedOpen {lasts}" if request.duration_ms or not told else ""
        return f"is {state}{forced}, {told or f'tripped by {asked}'}"
    if action is Action.RESET:
        still = ", and still held" if before["mode"] == "Hold" else ""
        return (
            f"is {state}{still}, {told}" if told else f"was {state} already{still}; what spoke against it is forgotten"
        )
    if action is Action.HOLD:
        return f"is {state} and held {lasts} by {asked}"
    ended = before["override"]
    if not ended:
        return f"is {state}; it was neither held nor ForcedOpen, and goes on by itself"
    what = "the hold" if ended["action"] == Action.HOLD else "ForcedOpen"
    return f"is {state} and goes on by itself: {what} of {ended['operator']} has ended{told and f', {told}'}"


def _until(entry: dict[str, Any], request: OperatorRequested) -> str:
    if not request.duration_ms:
        return "until released"
    seen = entry.get("time") or entry["now"]
    return f"until {moment(rfc3339(seen + request.duration_ms))}"


def _served(after: dict[str, Any]) -> str:
    """Say who serves, why that is not what the breaker asks for, and when the target is tried again."""
    placement, ahead = after["placement"], after["outlook"]["ahead"]
    if not after["acts"]:
        return f"no traffic is moved, the mode is {after['policy']['mode']}"
    why = f": {placement['reason']}" if placement["owed"] or placement["result"] != "verified" else ""
    tried = after["state"] == State.OPEN and ahead
    again = f"; it tries the target at {moment(ahead['at'])}" if tried else ""
    return f"it serves {serving(placement)}{why}{again}"
