"""Access of the commands to the breakers: over HTTP, or directly to the store.

Inside a pod of Fuseboard (``kubectl exec``) the environment has the store's URL: the commands use the store then, and
no port has to be forwarded. The answers are the same.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Protocol

import click

from fuseboard.cli.client import DEFAULT_URL, ByHttp
from fuseboard.errors import NotEnrolled
from fuseboard.settings import from_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fuseboard.board.view import BreakerDetail, BreakerView
    from fuseboard.events.event import Event
    from fuseboard.stores.records import Entry

_SUGGESTED: Final = 3
_KEY: Final = re.compile(r"[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*", re.ASCII)


class Access(Protocol):
    """A way to the breakers."""

    def breakers(self) -> list[BreakerView]:
        """Return all breakers, sorted by key."""

    def breaker(self, key: str) -> BreakerDetail:
        """Return a breaker, by ``namespace/name``.

        Raises:
            NotEnrolled: the table has no breaker with this key.

        """

    def journal(self, key: str, limit: int) -> list[Entry]:
        """Return the newest entries of a breaker's journal, newest first."""

    def send(self, event: Event) -> None:
        """Send an event to its functions; the event is on disk when this returns."""


def _connected(_: click.Context, __: click.Parameter, url: str | None) -> Access:
    redis_url = from_environment().redis_url
    if not redis_url or url is not None:
        return ByHttp(url or DEFAULT_URL)
    from fuseboard.cli.by_store import ByStore  # noqa: PLC0415  - the Redis client takes long to import

    return ByStore(redis_url)


access_option: Final = click.option(
    "--url",
    "access",
    metavar="URL",
    callback=_connected,
    help=f"Address of Fuseboard. [default: the store of FUSEBOARD_REDIS_URL if set, else {DEFAULT_URL}]",
)


def a_key(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check that an argument has the form ``NAMESPACE/NAME``."""
    if value is None or _KEY.fullmatch(value):
        return value
    raise click.BadParameter(f"{value!r} is not a breaker's name: give NAMESPACE/NAME, such as shop/login")


def known(access: Access, key: str) -> BreakerDetail:
    """Return a breaker.

    Raises:
        NotEnrolled: the table has no breaker with this key; the message suggests similar keys.

    """
    try:
        return access.breaker(key)
    except NotEnrolled as error:
        suggestion = _suggestion(key, [each.key for each in access.breakers()])
        raise NotEnrolled(f"{key} is not in the breaker table{suggestion}") from error


def _suggestion(key: str, keys: Sequence[str]) -> str:
    similar = get_close_matches(key, keys, _SUGGESTED)
    if similar:
        return f": did you mean {' or '.join(similar)}?"
    return f": `fuseboard status` lists its {len(keys)} breakers" if keys else ", which is empty"
