"""What a watch reports: a list, a change of an object, the state of the watch; and the lines of a watch stream."""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec import Struct

from fuseboard.cluster.answers import as_error
from fuseboard.errors import ClusterUnavailable

BOOKMARK: Final = "BOOKMARK"
"""Type of a line that only moves the version of the watch."""


class Listed(Struct, frozen=True):
    """All objects at the path."""

    objects: tuple[Any, ...]
    version: str
    lost: str = ""
    """Why the watch may have missed changes before this list; empty if it missed none."""


class Changed(Struct, frozen=True):
    """A change of an object: ``ADDED``, ``MODIFIED`` or ``DELETED``."""

    kind: str
    object: Any
    version: str


class Alive(Struct, frozen=True):
    """No change up to now."""

    version: str


class Denied(Struct, frozen=True):
    """The API server denies the watch; reported once, until the watch is allowed."""

    reason: str


Heard = Listed | Changed | Alive | Denied


class StreamLine(Struct, frozen=True):
    """A line of a watch stream: a change or a bookmark."""

    type: str
    object: dict[str, Any]
    version: str


def read_line(call: str, line: bytes) -> StreamLine:
    """Return a line of a watch stream; ``call`` is the method and path of the stream.

    Raises:
        Expired, Refused, ClusterUnavailable: the line is an error of the API server.
        ClusterUnavailable: the line is no change of an object.

    """
    try:
        event = json.loads(line)
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            raise as_error(call, int(body.get("code") or 500), {}, body)
        return StreamLine(kind, body, str(body["metadata"]["resourceVersion"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ClusterUnavailable(f"{call}: a line of the stream is no change of an object: {error!r}") from error
