"""Leases on a real PostgreSQL server. Time passes by moving the leases in the database, and the clocks of their holders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.postgres import PostgresServer
from tests.support.proxies import run_tcp_proxy

from octosync.errors import LeaseLost, StateUnavailable
from octosync.model import Address, Secret
from octosync.plan import ControlPlane
from octosync.state import (
    Database,
    Journal,
    Lease,
    LeaseHolder,
    LeaseKeeper,
    LeaseKind,
    LeaseName,
    StateUrl,
    parse_location,
)
from octosync.state.lease import TTL, LeaseTable

URL = "https://octomil.example/api/v1"
ORG_7 = LeaseName(LeaseKind.WATCH, ControlPlane(url=URL, org_id="7"))
ORG_8 = LeaseName(LeaseKind.WATCH, ControlPlane(url=URL, org_id="8"))
ANY_ORG = LeaseName(LeaseKind.WATCH, ControlPlane(url=URL))
APPLY = LeaseName(LeaseKind.APPLY, ControlPlane(url=URL, org_id="7"))
HOLDER = LeaseHolder(host="pod-a", pid=7, address="10.0.0.7:9900", actor="jane", commit="c0ffee", key=Secret("k3y"))
OTHER = replace(HOLDER, host="pod-b", key=Secret("0ther"))


@dataclass
class _Process:
    """A process that wants the lease. A statement that it sends is carried out `delay` seconds later."""

    journal: Journal
    holder: LeaseHolder
    table: LeaseTable = field(init=False)
    now: float = 0.0
    delay: float = 0.0
    lease: Lease | None = None

    def __post_init__(self) -> None:
        self.table = LeaseTable(self.journal, clock=lambda: self.now - self.delay)

    @property
    def leads(self) -> bool:
        """Whether a write would be sent now."""
        with suppress(LeaseLost):
            if self.lease is not None:
                self.lease.check()
                return True
        return False


@dataclass
class _Replicas:
    """Two processes that share a database."""

    first: _Process
    second: _Process

    @property
    def both(self) -> tuple[_Process, _Process]:
        """Both processes."""
        return self.first, self.second

    def advance(self, seconds: float) -> None:
        """Let time pass: by the clock of the database, and by those of the processes."""
        self.first.journal.database.execute("update lease set expires = expires - make_interval(secs => ?)", (seconds,))
        for process in self.both:
            process.now += seconds


@pytest.fixture
def replicas(_emptied: Callable[[], StateUrl]) -> Iterator[_Replicas]:
    location = _emptied()
    with Journal(location) as first, Journal(location) as second:
        yield _Replicas(_Process(first, HOLDER), _Process(second, OTHER))


def test_one_process_holds_a_lease_and_all_see_its_holder(replicas: _Replicas) -> None:
    """A second process gets nothing while the first renews its lease, and sees who holds it, since when."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    for _ in range(3):
        replicas.advance(TTL / 2)
        assert first.table.renew(lease)
        assert second.table.take(ORG_7, OTHER) is None
    held = second.table.holder(ORG_7)
    assert held is not None
    assert (held.holder, held.epoch, held.since, held.is_held) == (HOLDER, lease.epoch, lease.since, True)
    assert "k3y" not in repr(held)


def test_the_key_of_a_holder_is_in_the_text_of_no_statement(postgres_server: PostgresServer, postgres_url: str) -> None:
    """The server logs the text of each statement that fails. With `log_statement`, it logs parameters, too, as asked."""
    database, holder = postgres_url.rpartition("/")[2], replace(HOLDER, key=Secret("key-in-the-log"))
    postgres_server.execute(f"alter database {database} set log_statement = 'all'")
    with Journal(parse_location(postgres_url)) as journal:
        table = LeaseTable(journal)
        assert table.take(ORG_7, holder) is not None
        lease = table.take(ORG_7, holder)
        assert lease is not None
        assert table.renew(lease)
        journal.fence = lease.fence
        journal.confirm()
        journal.fence = None
        table.release(lease)
    log = (postgres_server.folder / "log").read_text(encoding="utf-8").splitlines()
    lines = [line for line in log if "key-in-the-log" in line]
    assert ["DETAIL:  parameters: " in line for line in lines] == [True, True]


def test_the_settings_of_a_database_change_no_value(postgres_server: PostgresServer, postgres_url: str) -> None:
    """Times are read in whatever format it shows them, and texts are quoted as it reads them."""
    database, candidate = postgres_url.rpartition("/")[2], "o'neill\\'; \\ %s ? é"
    for setting in ("datestyle = 'SQL, DMY'", "standard_conforming_strings = off", "bytea_output = escape"):
        postgres_server.execute(f"alter database {database} set {setting}")
    with Journal(parse_location(postgres_url)) as journal:
        table = LeaseTable(journal)
        lease = table.take(ORG_7, HOLDER)
        assert lease is not None
        assert table.renew(lease, is_cut_off=True)
        held = table.holder(ORG_7)
        assert held is not None
        assert held.since == lease.since
        table.ask_for(ORG_7, held, candidate)
        ((stored, digest),) = journal.database.execute(
            "select candidate, sha256(holder::bytea) from lease where org_id = '7'"
        )
        assert (stored, digest) == (candidate, HOLDER.digest)


def test_a_lease_is_over_if_a_restored_database_gives_its_epoch_to_another_process(replicas: _Replicas) -> None:
    """A failover that loses the last transactions, or an older backup, doesn't let two processes share a lease."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    first.journal.database.execute("delete from lease")
    other = second.table.take(ORG_7, OTHER)
    assert other is not None
    assert other.epoch == lease.epoch
    first.journal.fence = lease.fence
    with pytest.raises(LeaseLost):
        first.journal.confirm()
    first.journal.fence = None
    assert not first.table.renew(lease)
    first.table.release(lease)
    assert second.table.renew(other)


def test_a_released_lease_can_be_taken_at_once_and_not_be_renewed(replicas: _Replicas) -> None:
    """A release is final for its holder, and the next holder has a higher epoch."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    first.table.release(lease)
    released = second.table.holder(ORG_7)
    assert released is not None
    assert (released.is_held, released.holder) == (False, HOLDER)
    assert not lease.seconds_left
    assert not first.table.renew(lease)
    assert not first.table.renew(
        Lease(ORG_7, lease.epoch, HOLDER, lease.since)
    )  # as if a renewal was under way meanwhile
    successor = second.table.take(ORG_7, OTHER)
    assert successor is not None
    assert successor.epoch > lease.epoch


def test_a_process_gets_the_lease_that_it_has_taken_without_learning_it(replicas: _Replicas) -> None:
    """The connection broke before the response arrived: the process doesn't wait until its own lease expires."""
    first, second = replicas.both
    unknown = first.table.take(ORG_7, HOLDER)
    assert unknown is not None
    assert second.table.take(ORG_7, OTHER) is None
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    assert lease.epoch > unknown.epoch
    assert not first.table.renew(unknown)
    assert first.table.renew(lease)
    assert second.table.take(ORG_7, OTHER) is None


async def test_a_release_waits_only_briefly(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A run that ends, or is interrupted, while the database hangs doesn't wait for it: the lease expires."""
    with run_tcp_proxy(postgres_server.port) as proxy, ExitStack() as journals:
        location = parse_location(postgres_server.url(postgres_url.rpartition("/")[2], port=proxy.port))
        keeper = LeaseKeeper(lambda: journals.enter_context(Journal(location)), ttl=0.2)
        lease = await keeper.take(ORG_7, HOLDER)
        assert lease is not None
        proxy.hang()
        await keeper.release(lease)
        assert keeper.problem is None  # the first attempt has not failed yet
        proxy.restore()
        await keeper.aclose()


def test_an_expired_lease_is_renewed_only_if_no_process_took_it(replicas: _Replicas) -> None:
    """After an outage of the database its holder continues; after a suspension in which another took it, never again."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    replicas.advance(10 * TTL)
    assert not lease.seconds_left
    assert first.table.renew(lease)
    assert lease.seconds_left
    replicas.advance(10 * TTL)
    assert second.table.take(ORG_7, OTHER) is not None
    assert not first.table.renew(lease)
    replicas.advance(10 * TTL)
    assert not first.table.renew(lease)
    with pytest.raises(LeaseLost, match=r"octomil\.example"):
        lease.check()


def test_an_unknown_org_excludes_every_org_of_its_url(replicas: _Replicas) -> None:
    """Two orgs have separate leases; a process that doesn't know its org may be in either. Apply has a lease of its own."""
    first, second = replicas.both
    seventh = first.table.take(ORG_7, HOLDER)
    assert seventh is not None
    assert second.table.take(ORG_8, OTHER) is not None
    assert second.table.take(APPLY, OTHER) is not None
    assert second.table.take(ANY_ORG, OTHER) is None
    replicas.advance(2 * TTL)
    assert second.table.take(ANY_ORG, OTHER) is not None
    assert first.table.take(ORG_7, HOLDER) is None
    assert first.table.take(ORG_8, HOLDER) is None
    assert not first.table.renew(seventh)


def test_under_an_older_epoch_nothing_is_recorded(replicas: _Replicas) -> None:
    """The fence is part of the journal's transaction, so a former holder records no action, and thus sends none."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    journal = first.journal
    journal.fence = lease.fence
    at = datetime(2026, 1, 1, tzinfo=UTC)
    run = journal.begin_run(control_plane=URL, org_id="7", digest="d", at=at)

    def begin_action() -> None:
        journal.begin_action(run, 1, address=Address.of_app("a"), verb="create", operation="apps.create", at=at)

    # In the database alone: the holder's own clock would refuse it, too.
    first.journal.database.execute("update lease set expires = clock_timestamp() - interval '1 s'")
    with pytest.raises(LeaseLost):
        begin_action()
    assert second.table.take(ORG_7, OTHER) is not None
    assert lease.seconds_left
    with pytest.raises(LeaseLost):
        begin_action()
    assert second.journal.actions(run) == ()


def test_a_lease_is_taken_after_the_transactions_of_its_holder(replicas: _Replicas) -> None:
    """What a former holder still records, the next one finds when it has the lease. A renewal waits for no transaction."""
    first, second = replicas.both
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    own = Journal(first.journal.location)
    with own, ThreadPoolExecutor() as threads:
        own.fence = lease.fence
        with own.transaction() as database:
            assert first.table.renew(lease)
            replicas.advance(2 * TTL)
            taking = threads.submit(_take_when_free, second.table)
            while not taking.done() and _waiting(first.journal.database) < 1:
                pass
            assert not taking.done()
            database.execute("insert into suspension values (1, 'at', 'the last record')")
        assert taking.result(timeout=10)
        assert second.journal.database.execute("select reason from suspension").fetchall() == [("the last record",)]


@pytest.mark.failover
@pytest.mark.parametrize("is_received", [False, True])
def test_a_holder_that_is_suspended_in_a_transaction_keeps_no_lease(replicas: _Replicas, is_received: bool) -> None:
    """Wherever it is suspended, another process gets the lease soon after it has expired."""
    first, second = replicas.both
    assert first.table.take(ORG_7, HOLDER) is not None
    replicas.advance(2 * TTL)
    with suppress(StateUnavailable), first.journal.transaction() as database:
        renewed = database.execute("update lease set expires = clock_timestamp() + interval '10 s'")
        if is_received:
            assert renewed.rowcount
        end = monotonic() + TTL
        lease = None
        while lease is None and monotonic() < end:
            with suppress(StateUnavailable):  # while it waits for the lock
                lease = second.table.take(ORG_7, OTHER)
        assert lease is not None


def _take_when_free(table: LeaseTable) -> bool:
    while table.take(ORG_7, OTHER) is None:
        pass
    return True


def _waiting(database: Database) -> int:
    """Return how many sessions wait for a lock."""
    statement = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    (count,) = database.execute(statement).fetchone()
    return int(count)


def test_of_two_processes_that_take_a_lease_at_once_one_gets_it(replicas: _Replicas) -> None:
    """Both find it free; the second one finds it taken when it is its turn."""
    first = replicas.first
    lease = first.table.take(ORG_7, HOLDER)
    assert lease is not None
    first.table.release(lease)
    with Journal(first.journal.location) as other, ThreadPoolExecutor() as threads:
        with other.transaction() as database:
            assert database.execute("select 1 from lease for update").fetchall()
            taking = [threads.submit(process.table.take, ORG_7, process.holder) for process in replicas.both]
            while _waiting(database) < 2:
                assert not any(taken.done() for taken in taking)
        assert [taken.result(timeout=10) is None for taken in taking].count(False) == 1


_SECONDS = st.sampled_from([0.0, 1.0, 7.9, 8.1, 9.9, 10.1])
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take, and lose the response", "renew", "release"]), st.integers(0, 1), *[_SECONDS] * 3
    ),
    min_size=8,
    max_size=20,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_there_are_never_two_leaders(replicas: _Replicas, steps: list[tuple[str, int, float, float, float]]) -> None:
    """Whenever a process takes, renews or releases, and however late its statements arrive, at most one may write.

    What may write can also record: the lease ends for its holder before it does in the database.
    """
    replicas.advance(10 * TTL)
    for process in replicas.both:
        process.lease = None
    for step, number, idle, delay, response in steps:
        process = replicas.both[number]
        replicas.advance(idle)
        _check(replicas)
        process.delay = delay
        if step == "take" and process.lease is None:
            process.lease = process.table.take(ORG_7, process.holder)
        elif step == "take, and lose the response" and process.lease is None:
            process.table.take(ORG_7, process.holder)
        elif step == "renew" and process.lease is not None and not process.table.renew(process.lease):
            process.lease = None
        elif step == "release" and process.lease is not None:
            process.table.release(process.lease)
            process.lease = None
        process.delay = 0.0
        _check(replicas)
        replicas.advance(response)
        _check(replicas)


def _check(replicas: _Replicas) -> None:
    leaders = [process for process in replicas.both if process.leads]
    assert len(leaders) < 2
    for leader in leaders:
        assert leader.lease is not None
        leader.lease.fence(leader.journal.database)


async def test_a_keeper_renews_until_the_lease_is_over(postgres_url: str) -> None:
    """It goes on after a failure, as soon as the database responds, and ends once another process has the lease."""
    with ExitStack() as journals:
        location = parse_location(postgres_url)
        keeper = LeaseKeeper(lambda: journals.enter_context(Journal(location)), ttl=0.2)
        admin = journals.enter_context(Journal(location)).database
        lease = await keeper.take(ORG_7, HOLDER)
        assert lease is not None
        keeping = asyncio.create_task(keeper.keep(lease))
        await _renewals(admin, 2)
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )
        await _renewals(admin, 2)
        assert abs(await keeper.clock_offset()) < timedelta(minutes=1)
        admin.execute("update lease set epoch = epoch + 1")
        await asyncio.wait_for(keeping, 10)
        assert lease.is_over
        await keeper.aclose()


async def _renewals(database: Database, count: int) -> None:
    """Wait until the lease was renewed this often."""
    ends = set[object]()
    async with asyncio.timeout(20):
        while len(ends) <= count:
            ends.add(database.execute("select expires from lease where holder is not null").fetchone())
            await asyncio.sleep(0.01)


async def test_a_lease_is_released_although_the_connection_is_broken(postgres_url: str) -> None:
    """Another process leads at once after a graceful end, also if the database has restarted just before."""
    location = parse_location(postgres_url)
    with ExitStack() as journals:
        keeper = LeaseKeeper(lambda: journals.enter_context(Journal(location)))
        lease = await keeper.take(ORG_7, HOLDER)
        assert lease is not None
        second = journals.enter_context(Journal(location))
        second.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
            "and datname = current_database()"
        )
        await keeper.release(lease)
        assert LeaseTable(second).take(ORG_7, OTHER) is not None
        await keeper.aclose()
