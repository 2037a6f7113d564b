"""Requests of operators: the common part of ``fuseboard trip``, ``reset``, ``hold`` and ``release``.

A request is a signal like an alert: the command puts the request into the outbox, the breaker function decides, and the
journal records the request with the operator's name and reason. The command does not ask for a confirmation; it waits,
and prints the outcome on one line.
"""

from __future__ import annotations

import getpass
import re
import secrets
import socket
import time
from typing import TYPE_CHECKING, Final

import click

from fuseboard.board.view import HOLD
from fuseboard.cli.access import a_key, access_option, known
from fuseboard.cli.wording import one_line, reason_of, serving, time_of_day
from fuseboard.errors import FuseboardError
from fuseboard.events.event import Event
from fuseboard.events.types import Action, OperatorRequested
from fuseboard.times import duration_ms, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuseboard.board.view import BreakerDetail
    from fuseboard.cli.access import Access
    from fuseboard.stores.records import Entry

WAIT_S: Final = 5.0
POLL_S: Final = 0.1

NOT_YET: Final = 3
"""Exit code: the request is accepted, but not decided yet, or the traffic has not moved yet."""

SOURCE: Final = "/fuseboard/operator"

_ENTRIES: Final = 50
"""Journal entries that are searched for the decision."""

_DURATION: Final = re.compile(r"([0-9]{1,9}(ms|s|m|h))+", re.ASCII)
_LONGEST_MS: Final = 30 * 24 * 3_600_000
_LONGEST_NAME: Final = 128
_LONGEST_REASON: Final = 512


# -- options ---------------------------------------------------------------------------------------------------------


def request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every request."""
    for option in (
        access_option,
        click.option(
            "--wait/--no-wait",
            "waits",
            default=True,
            help=f"Wait up to {WAIT_S:g} s for the outcome.",
            show_default=True,
        ),
        click.option(
            "--as",
            "operator",
            default=_current_user,
            show_default="user@host",
            callback=_line(_LONGEST_NAME),
            help="Your name.",
        ),
        click.option(
            "--reason", required=True, callback=_line(_LONGEST_REASON), help="Why, in one line; kept in the journal."
        ),
        click.argument("key", metavar="NAMESPACE/NAME", callback=a_key),
    ):
        command = option(command)
    return command


def _current_user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:_LONGEST_NAME]
    except (KeyError, OSError) as error:  # the user of a pod has no name
        raise click.UsageError("your user name is unknown here: give your name with --as") from error


def _line(longest: int) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        line = value.strip()
        if not line or len(line) > longest or not line.isprintable():
            raise click.BadParameter(f"give one line of at most {longest} characters: the journal keeps this text")
        return line

    return check


def _milliseconds(_: click.Context, __: click.Parameter, value: str | None) -> int:
    """Parse a duration; 0 if there is none."""
    if value is None:
        return 0
    length = duration_ms(value) if _DURATION.fullmatch(value) else 0
    if not 0 < length <= _LONGEST_MS:
        raise click.BadParameter(
            f"{value!r} is not a duration: give 30m, 2h or 1h30m, for example, and at most 30 days"
        )
    return length


duration_option: Final = click.option(
    "--for",
    "duration",
    metavar="DURATION",
    callback=_milliseconds,
    help="How long, such as 30m or 2h. [default: no end]",
)


# -- a request and its outcome ---------------------------------------------------------------------------------------


def send_request(access: Access, key: str, request: OperatorRequested, *, waits: bool) -> None:
    """Send a request, wait for the outcome, and print it.

    Raises:
        NotEnrolled: the table has no breaker with this key.
        FuseboardError: the request is stale, or there is no answer.
        SystemExit: with ``NOT_YET``.

    """
    before = known(access, key)
    event = Event(id=secrets.token_hex(16), source=SOURCE, subject=key, data=request)
    access.send(event)
    if not waits:
        click.echo(f"{key}: {request.action} is accepted as {event.id}; `fuseboard explain {key}` shows the outcome")
        return
    deadline = time.monotonic() + WAIT_S
    decision = _decision(access, event, deadline)
    if decision is None:
        click.echo(
            f"{key}: {request.action} is accepted, but not decided within {WAIT_S:g} s; it will be decided later"
        )
        raise SystemExit(NOT_YET)
    if decision.result == "stale":
        raise FuseboardError(
            f"{key}: {request.action} came too late and was not done: the breaker moved, or another request was made, "
            f"after this request was sent: look at `fuseboard explain {key}`, then try again"
        )
    after = _placed(access, key, deadline)
    click.echo(one_line(f"{key} {_outcome(request, before, decision)}; {_traffic(after)}"))
    if after.placement.owed:
        raise SystemExit(NOT_YET)


def _decision(access: Access, event: Event, deadline: float) -> Entry | None:
    """Wait until the journal has the decision on a request."""
    while True:
        entries = access.journal(event.subject, _ENTRIES)
        decision = next((each for each in entries if each.kind == "step" and each.event == event.name), None)
        if decision is not None or time.monotonic() > deadline:
            return decision
        time.sleep(POLL_S)


def _placed(access: Access, key: str, deadline: float) -> BreakerDetail:
    """Wait until the traffic is where the breaker asks for it; return the breaker then, or at the deadline."""
    while True:
        breaker = access.breaker(key)
        if not breaker.placement.owed or time.monotonic() > deadline:
            return breaker
        time.sleep(POLL_S)


# -- wording ---------------------------------------------------------------------------------------------------------


def _outcome(request: OperatorRequested, before: BreakerDetail, decision: Entry) -> str:
    """Return the state of the breaker after a request, and the reason: ``is OPEN, tripped by anna: INC-42``."""
    return _OUTCOMES[request.action](request, before, decision)


def _after_trip(request: OperatorRequested, _: BreakerDetail, decision: Entry) -> str:
    is_forced = request.duration_ms or not decision.reason  # without a transition, the breaker was open before
    forced = f", ForcedOpen {_until(request, decision)}" if is_forced else ""
    reason = decision.reason or f"tripped by {request.operator}: {request.reason}"
    return f"is {decision.state}{forced}, {reason}"


def _after_reset(_: OperatorRequested, before: BreakerDetail, decision: Entry) -> str:
    held = ", and still held" if before.mode == HOLD else ""
    if decision.reason:
        return f"is {decision.state}{held}, {decision.reason}"
    return f"was {decision.state} already{held}; its evidence is cleared"


def _after_hold(request: OperatorRequested, _: BreakerDetail, decision: Entry) -> str:
    return f"is {decision.state} and held {_until(request, decision)} by {request.operator}: {request.reason}"


def _after_release(_: OperatorRequested, before: BreakerDetail, decision: Entry) -> str:
    override = before.override
    if override is None:
        return f"is {decision.state}; there was no hold and no ForcedOpen to end"
    kind = "the hold" if override.action == Action.HOLD else "ForcedOpen"
    reason = f", {decision.reason}" if decision.reason else ""
    return f"is {decision.state} and moves by itself again: {kind} of {override.operator} has ended{reason}"


_OUTCOMES: Final = {
    Action.TRIP: _after_trip,
    Action.RESET: _after_reset,
    Action.HOLD: _after_hold,
    Action.RELEASE: _after_release,
}


def _until(request: OperatorRequested, decision: Entry) -> str:
    if not request.duration_ms:
        return "until released"
    return f"until {time_of_day(rfc3339((decision.time or decision.now) + request.duration_ms))}"


def _traffic(after: BreakerDetail) -> str:
    """Return where the traffic goes, why it is not where the breaker asks for it, and the time of the next trial."""
    if not after.acts:
        return f"no traffic is moved, the mode is {after.policy.mode}"
    reason = reason_of(after.placement)
    ahead = after.outlook.ahead
    trial = f"; next trial of the target at {time_of_day(ahead.at)}" if after.state == "OPEN" and ahead else ""
    return f"traffic: {serving(after.placement)}{f': {reason}' if reason else ''}{trial}"
