"""What is dispatched between machines has one end and runs once, whatever is lost, doubled, stopped or killed."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sabayon.balancer.instructions import State
from sabayon.bus.chooser import Fate
from sabayon.bus.codec import Announcement, Beat, Done, Frame, Held, Run, encode
from sabayon.bus.intake import Intake
from sabayon.bus.parcels import MARK
from sabayon.entity.activation import Activation, Outcome
from sabayon.errors import BusUnavailable, Overloaded
from tests.conformance.bus_stage import Cluster, Host, cluster_on, message, result_of
from tests.servers.nats import NatsServer, nats_server

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as started:
        yield started


def play(test: Coroutine[Any, Any, None], most_s: float = 30) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test, most_s)

    uvloop.run(bounded())


async def ended(*runs: asyncio.Future[Activation]) -> list[Outcome]:
    return [each.response.outcome for each in await asyncio.gather(*runs)]


class Process:
    """An invoker in a process of its own."""

    def __init__(self, server: NatsServer, name: str, file: Path) -> None:
        self._file = file
        command = [sys.executable, "-m", "tests.faults.bus_invoker", server.url, name, str(file)]
        self._process = subprocess.Popen(command, cwd=REPOSITORY)

    @property
    def begun(self) -> list[str]:
        return self._file.read_text().split() if self._file.exists() else []

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def has_begun(self, activation_id: str) -> None:
        """Another process cannot set an event of ours."""
        async with asyncio.timeout(10):
            while activation_id not in self.begun:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextmanager
def invoker_process(server: NatsServer, name: str, file: Path) -> Iterator[Process]:
    process = Process(server, name, file)
    try:
        yield process
    finally:
        process.kill()


def losing(kind: type, times: int = 1) -> Callable[[Frame], int]:
    """Loses the first frames of a kind."""
    lost = 0

    def fault(frame: Frame) -> int:
        nonlocal lost
        if isinstance(frame, kind) and lost < times:
            lost += 1
            return 0
        return 1

    return fault


def test_a_message_that_is_lost_is_sent_again(server: NatsServer) -> None:
    async def test() -> None:
        host = Host()
        async with cluster_on(server, i1=host) as cluster:
            cluster.controller_link.fault = losing(Run)
            sent = message()
            assert await ended(cluster.bus.dispatch(sent)) == [Outcome.SUCCESS]
            assert host.begun == [sent.activation_id]
            assert len(cluster.chooser.sent_to) == 2

    play(test())


def test_an_acknowledgement_that_is_lost_makes_nothing_run_twice(server: NatsServer) -> None:
    async def test() -> None:
        host = Host(is_holding=True)
        async with cluster_on(server, i1=host) as cluster:
            asked = asyncio.Event()

            def fault(frame: Frame) -> int:
                if isinstance(frame, Held) and not asked.is_set():
                    asked.set()
                    return 0
                return 1

            cluster.links["i1"].fault = fault
            run = asyncio.ensure_future(cluster.bus.dispatch(message()))
            await asked.wait()
            await asyncio.sleep(1.8)  # longer than an acknowledgement may take
            host.let_go()
            assert await ended(run) == [Outcome.SUCCESS]
            assert len(host.begun) == len(cluster.chooser.sent_to) == 1

    play(test())


def test_an_end_that_is_lost_is_asked_for(server: NatsServer) -> None:
    async def test() -> None:
        host = Host()
        async with cluster_on(server, i1=host) as cluster:
            cluster.links["i1"].fault = losing(Done)
            assert await ended(cluster.bus.dispatch(message())) == [Outcome.SUCCESS]
            assert len(host.begun) == 1

    play(test())


def test_what_comes_twice_runs_once(server: NatsServer) -> None:
    async def test() -> None:
        host = Host()
        async with cluster_on(server, i1=host) as cluster:
            cluster.controller_link.fault = cluster.links["i1"].fault = lambda _: 2
            ends = await ended(*(cluster.bus.dispatch(message()) for _ in range(50)))
            assert ends == [Outcome.SUCCESS] * 50
            assert len(set(host.begun)) == len(host.begun) == 50

    play(test())


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_network_makes_nothing_run_twice_or_stay_open(server: NatsServer, seed: int) -> None:
    async def test() -> None:
        dice = random.Random(seed)
        one, two = Host(), Host()

        def fault(frame: Frame) -> int:
            if isinstance(frame, Beat | Announcement):
                return 1
            return dice.choices((0, 1, 2), (15, 70, 15))[0]

        async with cluster_on(server, i1=one, i2=two) as cluster:
            for link in (cluster.controller_link, *cluster.links.values()):
                link.fault = fault
            ends = await ended(*(cluster.bus.dispatch(message()) for _ in range(30)))
            begun = one.begun + two.begun
            assert ends == [Outcome.SUCCESS] * 30
            assert len(set(begun)) == len(begun) == 30
            cluster.controller_link.fault = None

    play(test(), 60)


def test_a_draining_invoker_hands_back_what_has_not_begun_and_nobody_notices(server: NatsServer) -> None:
    async def test() -> None:
        one, two = Host(slots=1, is_holding=True), Host()
        async with cluster_on(server, i1=one) as cluster:
            runs = [asyncio.ensure_future(cluster.bus.dispatch(message())) for _ in range(5)]
            await one.has_begun(1)
            await cluster.add("i2", two)
            draining = asyncio.create_task(cluster.intakes["i1"].drain(10))
            await two.has_begun(4)
            await cluster.until("i1", State.DRAINING)
            one.let_go()
            await draining
            assert await ended(*runs) == [Outcome.SUCCESS] * 5
            assert len(set(one.begun + two.begun)) == len(one.begun + two.begun) == 5
            await cluster.intakes["i1"].aclose()
            await cluster.until("i1", State.DOWN)
            assert cluster.endings.fates == {}

    play(test())


def test_invokers_that_are_restarted_one_after_the_other_under_load_are_not_noticed(server: NatsServer) -> None:
    async def test() -> None:
        hosts = {"i1": Host(slots=4), "i2": Host(slots=4)}
        begun: list[str] = []
        async with cluster_on(server, **hosts) as cluster:
            is_over = asyncio.Event()

            async def client() -> list[Outcome]:
                ends = []
                while not is_over.is_set():
                    ends += await ended(cluster.bus.dispatch(message()))
                return ends

            clients = [asyncio.create_task(client()) for _ in range(16)]
            for round in range(2, 12):
                for name in ("i1", "i2"):
                    await hosts[name].has_begun(100)
                    intake, link = cluster.intakes.pop(name), cluster.links.pop(name)
                    await intake.drain(10)
                    await intake.aclose()
                    await link.aclose()
                    begun += hosts[name].begun
                    hosts[name] = Host(slots=4)
                    await cluster.add(name, hosts[name], started_ms=round)
            is_over.set()
            ends = [outcome for each in await asyncio.gather(*clients) for outcome in each]
            assert set(ends) == {Outcome.SUCCESS}
            begun += [id for host in hosts.values() for id in host.begun]
            assert len(begun) == len(set(begun)) == len(ends)
            assert cluster.endings.fates == {}

    play(test())


def test_what_is_sent_to_an_invoker_before_it_is_heard_that_it_drains_goes_to_another(server: NatsServer) -> None:
    async def test() -> None:
        one, two = Host(), Host()
        async with cluster_on(server, i1=one) as cluster:
            await ended(cluster.bus.dispatch(message()))  # so that i1 is the warm one
            await cluster.add("i2", two)

            async def leave() -> None:
                await cluster.intakes["i1"].drain(10)
                await cluster.intakes["i1"].aclose()

            server.hold_up()
            leaving = asyncio.create_task(leave())
            await asyncio.sleep(0)  # it has said that it drains, and nobody has heard it
            run = asyncio.ensure_future(cluster.bus.dispatch(message()))
            await asyncio.sleep(0.1)  # longer than it takes to leave
            server.let_go()
            assert await ended(run) == [Outcome.SUCCESS]
            await leaving
            assert cluster.chooser.sent_to[1:] == ["i1", "i2"]
            assert (len(one.begun), len(two.begun)) == (1, 1)
            assert cluster.endings.fates == {}

    play(test())


def test_what_is_sent_to_an_invoker_that_has_just_died_goes_to_another_at_once(server: NatsServer) -> None:
    async def test() -> None:
        one, two = Host(), Host()
        async with cluster_on(server, i1=one) as cluster:
            await ended(cluster.bus.dispatch(message()))  # so that i1 is the warm one
            await cluster.add("i2", two)
            await cluster.remove("i1")
            async with asyncio.timeout(1):
                assert await ended(cluster.bus.dispatch(message())) == [Outcome.SUCCESS]
            assert cluster.chooser.sent_to[1:] == ["i1", "i2"]
            assert len(two.begun) == 1

    play(test())


def test_what_an_invoker_had_when_it_was_killed_is_settled(server: NatsServer, tmp_path: Path) -> None:
    async def test(process: Process) -> None:
        two = Host()
        async with cluster_on(server) as cluster:
            await cluster.until("i1", State.UP)
            blocking, journaled = message(b'"hold"'), message(b'"hold"', is_journaled=True, blocking=False)
            runs = [asyncio.ensure_future(cluster.bus.dispatch(sent)) for sent in (blocking, journaled)]
            await process.has_begun(blocking.activation_id)
            await cluster.add("i2", two)
            process.kill()
            began = asyncio.get_running_loop().time()
            assert await ended(*runs) == [Outcome.WHISK_ERROR, Outcome.SUCCESS]
            assert asyncio.get_running_loop().time() - began < 5
            assert two.begun == [journaled.activation_id]
            assert result_of(runs[0].result()) == {"error": Fate.LOST}

    with invoker_process(server, "i1", tmp_path / "begun") as process:
        play(test(process))


def test_an_invoker_that_was_held_up_begins_nothing_that_others_have_taken_over(
    server: NatsServer, tmp_path: Path
) -> None:
    async def test(process: Process) -> None:
        two = Host()
        async with cluster_on(server) as cluster:
            await cluster.until("i1", State.UP)
            process.signal(signal.SIGSTOP)
            blocking, journaled = message(), message(is_journaled=True, blocking=False)
            runs = [asyncio.ensure_future(cluster.bus.dispatch(sent)) for sent in (blocking, journaled)]
            await cluster.add("i2", two)
            assert await ended(*runs) == [Outcome.WHISK_ERROR, Outcome.SUCCESS]
            process.signal(signal.SIGCONT)
            await cluster.until("i1", State.UP)
            last = message()
            await ended(cluster.bus.dispatch(last))
            assert not {blocking.activation_id, journaled.activation_id} & set(process.begun)

    with invoker_process(server, "i1", tmp_path / "begun") as process:
        play(test(process))


def test_an_invoker_that_was_held_up_hands_back_what_waits_there(server: NatsServer, tmp_path: Path) -> None:
    async def test(process: Process) -> None:
        two = Host()
        async with cluster_on(server) as cluster:
            await cluster.until("i1", State.UP)
            first, waiting = message(b'"hold"'), message(is_journaled=True, blocking=False)
            runs = [asyncio.ensure_future(cluster.bus.dispatch(sent)) for sent in (first, waiting)]
            await process.has_begun(first.activation_id)
            await asyncio.sleep(0.3)  # until it has acknowledged both
            process.signal(signal.SIGSTOP)
            await cluster.add("i2", two)
            assert await ended(*runs) == [Outcome.WHISK_ERROR, Outcome.SUCCESS]
            process.signal(signal.SIGCONT)
            await cluster.until("i1", State.UP)
            assert await cluster.bus.cancel("acme", first.activation_id)  # which leaves its container to who waits
            await asyncio.sleep(0.3)
            assert process.begun == [first.activation_id]

    with invoker_process(server, "i1", tmp_path / "begun") as process:
        play(test(process))


def test_an_invoker_that_is_started_again_gets_nothing_that_was_for_the_one_before(server: NatsServer) -> None:
    async def test() -> None:
        one, again = Host(is_holding=True), Host()
        async with cluster_on(server, i1=one) as cluster:
            blocking, journaled = message(), message(is_journaled=True)
            runs = [asyncio.ensure_future(cluster.bus.dispatch(sent)) for sent in (blocking, journaled)]
            await one.has_begun(2)
            await cluster.remove("i1")
            async with asyncio.timeout(2):  # not after a silence
                await cluster.add("i1", again, started_ms=2)
                assert await ended(*runs) == [Outcome.WHISK_ERROR, Outcome.SUCCESS]
            assert again.begun == [journaled.activation_id]

    play(test())


def test_a_start_of_an_invoker_that_nobody_has_heard_of_gets_nothing_that_was_for_the_one_before(
    server: NatsServer,
) -> None:
    async def test() -> None:
        one, again = Host(), Host()
        async with cluster_on(server, i1=one) as cluster:
            await cluster.remove("i1")
            link = cluster.link("i1")
            link.fault = losing(Beat, times=100)
            intake = Intake(link, cluster.subjects, "i1", again, started_ms=2)
            await link.start(5)
            sent = message(is_journaled=True)
            run = cluster.bus.dispatch(sent)
            await asyncio.sleep(0.5)  # longer than anything takes
            assert again.begun == []
            link.fault = None
            await intake.start()
            assert await ended(run) == [Outcome.SUCCESS]
            assert again.begun == [sent.activation_id]
            await intake.aclose()
            await link.aclose()

    play(test())


def test_a_server_that_is_restarted_under_load_costs_time_alone(server: NatsServer) -> None:
    async def test() -> None:
        one, two = Host(), Host()
        async with cluster_on(server, i1=one, i2=two) as cluster:
            one.is_holding = two.is_holding = True
            runs = [asyncio.ensure_future(cluster.bus.dispatch(message())) for _ in range(40)]
            await asyncio.sleep(0)
            one.let_go()
            two.let_go()
            for _ in range(3):
                runs += [asyncio.ensure_future(cluster.bus.dispatch(message(is_journaled=True))) for _ in range(40)]
                await asyncio.sleep(0.001)
                await asyncio.to_thread(server.restart)
            assert await ended(*runs) == [Outcome.SUCCESS] * len(runs)
            begun = one.begun + two.begun
            assert len(set(begun)) == len(begun) == len(runs)
            assert cluster.endings.fates == {}

    play(test(), 60)


def test_while_the_bus_is_away_nothing_hangs_and_what_was_promised_runs_later(server: NatsServer) -> None:
    async def test() -> None:
        async with cluster_on(server, i1=Host()) as cluster:
            await asyncio.to_thread(server.kill)
            async with asyncio.timeout(3):
                while not cluster.bus.is_away:  # noqa: ASYNC110 - the bus tells nobody
                    await asyncio.sleep(0.01)
            with pytest.raises(BusUnavailable):
                cluster.bus.dispatch(message())
            with pytest.raises(BusUnavailable):
                cluster.bus.check()
            with pytest.raises(BusUnavailable):
                await cluster.bus.cancel("acme", "0" * 32)
            promised = cluster.bus.dispatch(message(is_journaled=True))
            await asyncio.to_thread(server.start)
            assert await ended(promised) == [Outcome.SUCCESS]
            cluster.bus.check()

    play(test())


def test_a_server_that_is_held_up_makes_nobody_be_taken_for_lost(server: NatsServer) -> None:
    async def test() -> None:
        host = Host(is_holding=True)
        async with cluster_on(server, i1=host) as cluster:
            run = asyncio.ensure_future(cluster.bus.dispatch(message()))
            await host.has_begun(1)
            server.hold_up()
            await asyncio.sleep(6)  # longer than the silence after which an invoker is taken for lost
            server.let_go()
            host.let_go()
            assert await ended(run) == [Outcome.SUCCESS]
            assert cluster.endings.fates == {}

    play(test())


def test_a_controller_that_hears_nobody_refuses_and_takes_nobody_for_lost(server: NatsServer) -> None:
    async def test() -> None:
        host = Host(is_holding=True)
        async with cluster_on(server, i1=host) as cluster:
            run = asyncio.ensure_future(cluster.bus.dispatch(message()))
            await host.has_begun(1)
            cluster.controller_link.fault = lambda _: 0
            cluster.links["i1"].fault = lambda _: 0
            await asyncio.sleep(6)  # longer than the silence after which an invoker is taken for lost
            with pytest.raises(BusUnavailable):
                cluster.bus.dispatch(message())
            cluster.controller_link.fault = cluster.links["i1"].fault = None
            host.let_go()
            assert await ended(run) == [Outcome.SUCCESS]
            assert cluster.endings.fates == {}

    play(test())


def test_what_waits_for_an_invoker_can_be_cancelled_and_what_is_not_promised_is_refused(server: NatsServer) -> None:
    async def test() -> None:
        async with cluster_on(server) as cluster:
            with pytest.raises(Overloaded) as refusal:
                cluster.bus.dispatch(message())
            assert refusal.value.retry_after_s >= 1
            sent = message(is_journaled=True)
            waiting = asyncio.ensure_future(cluster.bus.dispatch(sent))
            assert await cluster.bus.cancel("acme", sent.activation_id)
            await waiting
            assert cluster.endings.fates == {sent.activation_id: [Fate.CANCELLED]}

    play(test())


def test_two_installations_on_one_server_do_not_hear_each_other(server: NatsServer) -> None:
    async def test() -> None:
        async with cluster_on(server, i1=Host()):
            other = await Cluster(server, "other").open()
            await asyncio.sleep(1.5)  # longer than a heartbeat is away
            assert other.balancer.states() == {}
            await other.aclose()

    play(test())


def test_controllers_count_each_other_and_any_can_cancel_what_another_has_dispatched(server: NatsServer) -> None:
    async def test() -> None:
        host = Host(is_holding=True)
        async with cluster_on(server, i1=host) as first:
            second = await Cluster(server, name="c2").open()
            await second.until("i1", State.UP)
            sent = message()
            runs = [
                asyncio.ensure_future(first.bus.dispatch(sent)),
                asyncio.ensure_future(second.bus.dispatch(message())),
            ]
            await host.has_begun(2)
            assert (first.bus.controllers, second.bus.controllers) == (2, 2)
            assert await second.bus.cancel("acme", sent.activation_id)
            assert (await runs[0]).is_cancelled
            host.let_go()
            assert await ended(runs[1]) == [Outcome.SUCCESS]
            await second.aclose()
            await asyncio.sleep(0.1)  # for its farewell
            assert first.bus.controllers == 1

    play(test())


def test_what_a_controller_that_died_had_sent_is_not_run_beside_itself(server: NatsServer) -> None:
    async def test() -> None:
        host = Host(is_holding=True)
        async with cluster_on(server, i1=host) as first:
            second = await Cluster(server, name="c2").open()
            await second.until("i1", State.UP)
            sent = message(is_journaled=True)
            runs = [asyncio.ensure_future(first.bus.dispatch(sent))]
            await host.has_begun(1)
            runs.append(asyncio.ensure_future(second.bus.dispatch(sent)))
            await asyncio.sleep(0.2)  # so that it has come
            host.let_go()
            assert await ended(*runs) == [Outcome.SUCCESS] * 2
            assert host.begun == [sent.activation_id]
            await second.aclose()

    play(test())


def test_an_invoker_forgets_ends_that_controllers_know(server: NatsServer) -> None:
    async def test() -> None:
        async with cluster_on(server, i1=Host()) as cluster:
            await ended(*(cluster.bus.dispatch(message()) for _ in range(20)))
            assert "0 under way" in repr(cluster.intakes["i1"])
            assert " 0 bytes of ends kept" not in repr(cluster.intakes["i1"])
            await asyncio.sleep(0.8)  # controllers tell twice a second
            assert "0 under way, 0 bytes of ends kept" in repr(cluster.intakes["i1"])

    play(test())


def test_garbage_is_ignored_and_told_once(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with cluster_on(server, i1=Host()) as cluster:
            subjects, link = cluster.subjects, cluster.links["i1"]
            dice = random.Random(1)
            rubbish = [
                *(dice.randbytes(length) for length in range(200)),
                b"[" * 10_000,
                b'["done",1,{"secret":"hunter2"}]',
                b'["nothing"]',
                MARK + b"\xff" * 20,
                encode(Held([1])),
                encode(Announcement("c2"))[:-1],
            ]
            caplog.clear()
            for subject in (subjects.controller("c1"), subjects.invoker("i1", 1), subjects.heartbeats):
                for text in rubbish:
                    super(type(link), link).post(subject, text)
            await link.flush(5)
            assert await ended(cluster.bus.dispatch(message())) == [Outcome.SUCCESS]

    with caplog.at_level(logging.INFO):
        play(test())
    told = [record.getMessage() for record in caplog.records if "ignored on the bus" in record.getMessage()]
    assert len(told) == 2, told  # once by each process that hears it
    assert "hunter2" not in caplog.text
