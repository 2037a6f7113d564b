"""The keys in Redis or Valkey, and the versions that tell states of a record apart.

All keys of a namespace share a hash tag, so that every script works on the keys of a single slot.
"""

from secrets import randbits
from typing import Final

from fuseboard.stores.records import DEBT, TIMER

GLOBAL_TAG: Final = "{*}"
"""Hash tag of the keys that belong to no namespace; a namespace cannot have this name."""

TABLE: Final = f"fuseboard:{GLOBAL_TAG}:table"
TABLE_VERSION: Final = f"fuseboard:{GLOBAL_TAG}:table:version"
NAMESPACES: Final = f"fuseboard:{GLOBAL_TAG}:namespaces"

OUTBOX: Final = f"fuseboard:{GLOBAL_TAG}:outbox"
REJECTED: Final = f"fuseboard:{GLOBAL_TAG}:outbox:rejected"
INGEST: Final = f"fuseboard:{GLOBAL_TAG}:ingest"


def next_version() -> bytes:
    """Return a version that neither a record nor the table ever had.

    Random, not the next number: a server that lost its data would count up to the same number again, and a process
    with an old copy of that number would overwrite the decisions made since.
    """
    return b"%d" % randbits(62)


def keys_of(key: str) -> tuple[str, str, str]:
    """Return the keys of a breaker: its record, the due entries of its namespace, its journal."""
    namespace, _, name = key.partition("/")
    tag = f"fuseboard:{{{namespace}}}"
    return f"{tag}:breaker:{name}", f"{tag}:due", f"{tag}:journal:{name}"


def due_keys(namespace: str) -> tuple[str, str]:
    """Return the keys of a namespace: its due entries, and how often each was handed out."""
    due = f"fuseboard:{{{namespace}}}:due"
    return due, f"{due}:attempts"


def members_of(key: str) -> tuple[str, str]:
    """Return the members for a breaker's timer and debt among the due entries."""
    name = key.partition("/")[2]
    return f"{TIMER}:{name}", f"{DEBT}:{name}"


def checkpoint_keys(namespace: str) -> tuple[str, str]:
    """Return the keys of a watch's checkpoint: its position, and the counts of Event objects."""
    tag = f"fuseboard:{{{namespace}}}:events"
    return tag, f"{tag}:counts"
