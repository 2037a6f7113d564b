"""The two ways from the command line to the breakers: a running Fuseboard by HTTP, or the store itself.

Inside a pod of Fuseboard (``kubectl exec``) the store's URL stands in the environment, so that no port has to be
forwarded. Both ways say the same.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from fuseboard.board.view import told, views, whole_view
from fuseboard.cli.client import DEFAULT_URL, get, request
from fuseboard.errors import NotEnrolled
from fuseboard.events.json import encode_data
from fuseboard.events.wire import STRUCTURED, encode
from fuseboard.settings import from_environment
from fuseboard.stores.outbox import open_outbox
from fuseboard.stores.records import Entry
from fuseboard.stores.redis import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fuseboard.events.event import Event
    from fuseboard.stores.redis import RedisStore

_SUGGESTED: Final = 3
_KEY: Final = re.compile(r"[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*", re.ASCII)


class Access(Protocol):
    """A way to the breakers."""

    def breakers(self) -> list[Any]:
        """Return all breakers, as the API has them."""

    def breaker(self, key: str) -> Any:  # noqa: ANN401  - JSON
        """Return one breaker, as the API has it.

        Raises:
            NotEnrolled: there is none of that name.

        """

    def journal(self, key: str, limit: int) -> list[Any]:
        """Return the newest entries of a breaker's journal, newest first."""

    def send(self, event: Event) -> None:
        """Hand an event in: it is on disk when this returns."""


class ByHttp:
    """A Fuseboard that listens somewhere."""

    def __init__(self, url: str) -> None:
        self._url = url

    def breakers(self) -> list[Any]:
        """See ``Access.breakers``."""
        return list(get(f"{self._url}/api/breakers"))

    def breaker(self, key: str) -> Any:  # noqa: ANN401  - JSON
        """See ``Access.breaker``."""
        return get(f"{self._url}/api/breakers/{key}")

    def journal(self, key: str, limit: int) -> list[Any]:
        """See ``Access.journal``."""
        return list(get(f"{self._url}/api/journal?breaker={key}&limit={limit}"))

    def send(self, event: Event) -> None:
        """See ``Access.send``."""
        request("POST", f"{self._url}/events", encode(event, structured=True).body, STRUCTURED)


class ByStore:
    """The store itself; what is sent goes into the outbox, and a relay takes it to the broker."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    @cached_property
    def _store(self) -> RedisStore:
        return open_store(self._redis_url)

    def breakers(self) -> list[Any]:
        """See ``Access.breakers``."""
        return list(_as_sent(views(self._store)))

    def breaker(self, key: str) -> Any:  # noqa: ANN401  - JSON
        """See ``Access.breaker``."""
        return _as_sent(whole_view(self._store, key))

    def journal(self, key: str, limit: int) -> list[Any]:
        """See ``Access.journal``."""
        return list(_as_sent([told(entry) for entry in self._store.journal([key], limit)]))

    def send(self, event: Event) -> None:
        """See ``Access.send``."""
        entry = Entry(kind="ingest", event=f"{event.source} {event.id}", type=event.type, reason="the command line")
        open_outbox(self._redis_url).append([event], entry)


def _reach(_: click.Context, __: click.Parameter, url: str | None) -> Access:
    redis_url = from_environment().redis_url
    return ByStore(redis_url) if redis_url and url is None else ByHttp(url or DEFAULT_URL)


access_option: Final = click.option(
    "--url",
    "access",
    metavar="URL",
    callback=_reach,
    help=f"Where Fuseboard listens. [default: the store of FUSEBOARD_REDIS_URL, if that is set, else {DEFAULT_URL}]",
)


def a_key(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Return what was given as ``NAMESPACE/NAME``, if it can be a breaker's."""
    if value is None or _KEY.fullmatch(value):
        return value
    raise click.BadParameter(f"{value!r} names no breaker: give NAMESPACE/NAME, such as shop/login")


def known(access: Access, key: str) -> Any:  # noqa: ANN401  - JSON
    """Return one breaker.

    Raises:
        NotEnrolled: there is none of that name; the message has those whose names are close.

    """
    try:
        return access.breaker(key)
    except NotEnrolled as error:
        names = [f"{each['namespace']}/{each['name']}" for each in access.breakers()]
        raise NotEnrolled(f"{key} is not in the breaker table{_suggestion(key, names)}") from error


def _suggestion(key: str, names: Iterable[str]) -> str:
    found = list(names)
    close = get_close_matches(key, found, _SUGGESTED)
    if close:
        return f": did you mean {' or '.join(close)}?"
    return f": `fuseboard status` lists the {len(found)} that are" if found else ": it is empty"


def _as_sent(content: object) -> Any:  # noqa: ANN401  - JSON
    """Return content as it would come over HTTP."""
    return json.loads(encode_data(content))
