"""The Lua scripts: their files, and how they are run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import redis

from fuseboard.stores import scripts
from fuseboard.stores.connection import ThreadConnection
from fuseboard.stores.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(scripts.__file__).parent / "lua"
LOADED: Final = {name: each for name, each in vars(scripts).items() if isinstance(each, Script)}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Return a plain client of an empty Valkey that knows no script."""
    with redis.Redis.from_url(redis_url) as plain:
        plain.script_flush()
        yield plain


def test_each_file_is_a_script() -> None:
    """A file in ``lua/`` is the script of the same name, and ``prelude.lua`` a part of all."""
    assert {name.lower() for name in LOADED} | {"prelude"} == {path.stem for path in FOLDER.glob("*.lua")}


@pytest.mark.parametrize("name", LOADED)
def test_each_script_says_what_it_takes_and_replies(name: str) -> None:
    """The header of a file names its keys, its arguments and its reply."""
    lines = (FOLDER / f"{name.lower()}.lua").read_text().splitlines()
    assert {"KEYS", "ARGV", "Reply"} <= {line.split()[1] for line in lines if line.startswith("-- ")}


@pytest.mark.parametrize("script", LOADED.values(), ids=LOADED)
def test_the_server_knows_a_script_by_the_same_hash(client: redis.Redis, script: Script) -> None:
    """The hash that we send is the server's: a script travels to a server once."""
    assert client.script_load(script.text) == script.sha


def test_a_server_without_the_script_is_given_it(client: redis.Redis) -> None:
    """The first run, and the first run after a flush, load the script; every other is one command."""
    sent: list[tuple[Any, ...]] = []
    connection = ThreadConnection(client)

    def call(*command: Any) -> Any:  # noqa: ANN401  - what Redis takes and answers
        sent.append(command[:2])
        return connection.call(*command)

    for _ in range(2):
        assert scripts.REMOVE.run(call, ("a", "b", "c"), "1", "shop/login") == 0
    again = ("EVALSHA", scripts.REMOVE.sha)
    connection.close()
    assert sent == [again, ("SCRIPT", "LOAD"), again, again]
