"""How often something that is due comes again while nobody settles it."""

from typing import Final

FIRST_AGAIN_MS: Final = 5_000
LAST_AGAIN_MS: Final = 60_000


def next_attempt(now: int, attempts: int) -> int:
    """Return when it comes again, in milliseconds since 1970: after 5 s, 10 s, 20 s, 40 s, then every minute."""
    return now + min(FIRST_AGAIN_MS << min(attempts, 8), LAST_AGAIN_MS)
