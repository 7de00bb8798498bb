"""Which invokers may be given jobs, and what is told when that changes."""

from __future__ import annotations

from sabayon.balancer.balancer import Balancer
from sabayon.balancer.instructions import Changed, Instruction, Job, Key, Lost, Placed, Reason, Refused, SendTest, State
from sabayon.bus.heartbeat import Heartbeat, Phase

PYTHON = "python:3.11"


class Cluster:
    """A balancer, its invokers' heartbeats, and a clock that moves when it is told to."""

    def __init__(self, *invokers: str) -> None:
        self.balancer = Balancer("controller-1")
        self.now = 100.0
        self.beating = dict.fromkeys(invokers, 1)
        self.jobs = 0
        self.news: list[Instruction] = []
        self.balancer.tick(self.now)
        for invoker in invokers:
            self.pass_tests(self.beat(invoker))

    def beat(self, invoker: str, *, phase: Phase = Phase.SERVING, started_ms: int = 1) -> list[Instruction]:
        kinds = frozenset({PYTHON})
        beat = Heartbeat(invoker=invoker, started_ms=started_ms, memory_mb=4096, kinds=kinds, phase=phase)
        return self.balancer.heard(beat, self.now)

    def pass_tests(self, news: list[Instruction], *, is_good: bool = True) -> list[Instruction]:
        """Answer the tests among `news`, and those that follow at once."""
        found: list[Instruction] = []
        for each in news:
            if isinstance(each, SendTest):
                answer = self.balancer.tested(each.invoker, each.number, self.now, is_good=is_good)
                found += answer + self.pass_tests(answer, is_good=is_good)
        return found

    def pass_time(self, seconds: float, *silent: str) -> list[Instruction]:
        """Half a second at a time; all beat each second but the silent ones."""
        news: list[Instruction] = []
        for half in range(int(seconds * 2)):
            self.now += 0.5
            if half % 2:
                for invoker in self.beating.keys() - set(silent):
                    news += self.beat(invoker)
            news += self.balancer.tick(self.now)
        return news

    def place(self, namespace: str = "alice") -> Placed | Refused:
        self.jobs += 1
        return self.balancer.place(Job(f"job{self.jobs}", Key(namespace, f"{namespace}/a", 1), PYTHON, 256))

    def run(self, namespace: str = "alice", *, is_fault: bool = False) -> list[Instruction]:
        """A job that ends at once."""
        assert isinstance(self.place(namespace), Placed)
        return self.balancer.finished(f"job{self.jobs}", self.now, is_fault=is_fault)

    def state(self, invoker: str) -> State:
        return self.balancer.states()[invoker]


def test_a_new_invoker_gets_jobs_after_one_good_test() -> None:
    cluster = Cluster()
    news = cluster.beat("invoker0")
    assert [type(each) for each in news] == [Changed, SendTest]
    assert cluster.place() == Refused(Reason.NOBODY_IS_UP, 5)
    assert cluster.pass_tests(news) == [Changed("invoker0", State.UP, "works")]
    assert isinstance(cluster.place(), Placed)


def test_a_new_invoker_that_fails_its_tests_is_tested_ever_less_often() -> None:
    cluster = Cluster()
    cluster.beating["invoker0"] = 1
    cluster.pass_tests(cluster.beat("invoker0"), is_good=False)
    counts = []
    for _ in range(3):
        tests = 0
        for _ in range(40):
            news = cluster.pass_time(0.5)
            tests += sum(isinstance(each, SendTest) for each in news)
            cluster.pass_tests(news, is_good=False)
            cluster.beat("invoker0")
        counts.append(tests)
    assert counts[0] > counts[2] >= 0
    assert cluster.state("invoker0") is State.UNHEALTHY


def test_a_test_without_an_answer_is_a_bad_one_and_its_late_answer_does_nothing() -> None:
    cluster = Cluster()
    cluster.beating["invoker0"] = 1
    first = cluster.beat("invoker0")[-1]
    assert isinstance(first, SendTest)
    second = [each for each in cluster.pass_time(13) if isinstance(each, SendTest)]
    assert len(second) == 1
    assert cluster.balancer.tested("invoker0", first.number, cluster.now, is_good=True) == []
    assert cluster.pass_tests(list(second))[-1] == Changed("invoker0", State.UP, "works")


def test_a_silent_invoker_gets_no_jobs_and_is_lost_within_five_seconds_with_what_it_had() -> None:
    cluster = Cluster("invoker0", "invoker1")
    for _ in range(3):
        cluster.place()
    before = cluster.place()
    assert isinstance(before, Placed)
    silent = before.invoker
    cluster.pass_time(3, silent)
    assert cluster.state(silent) is State.UNRESPONSIVE
    after = cluster.place()
    assert isinstance(after, Placed)
    assert after.invoker != silent
    news = cluster.pass_time(1.5, silent)
    lost = next(each for each in news if isinstance(each, Lost))
    assert lost.invoker == silent
    assert "job4" in lost.jobs
    assert "job5" not in lost.jobs
    assert cluster.balancer.finished("job4", cluster.now, is_fault=True) == []


def test_an_invoker_that_is_heard_again_in_time_goes_on_untested() -> None:
    cluster = Cluster("invoker0")
    cluster.pass_time(3, "invoker0")
    assert cluster.beat("invoker0") == [Changed("invoker0", State.UP, "is heard again")]


def test_an_invoker_that_comes_back_from_the_dead_is_tested() -> None:
    cluster = Cluster("invoker0")
    cluster.pass_time(5, "invoker0")
    assert cluster.state("invoker0") is State.DOWN
    news = cluster.beat("invoker0")
    assert [type(each) for each in news] == [Changed, SendTest]


def test_an_invoker_that_was_started_again_has_lost_what_it_had_and_its_earlier_self_is_not_heard_any_more() -> None:
    cluster = Cluster("invoker0")
    cluster.place()
    news = cluster.beat("invoker0", started_ms=2)
    assert Lost("invoker0", ("job1",)) in news
    assert cluster.beat("invoker0", started_ms=1, phase=Phase.LEFT) == []
    assert cluster.pass_tests(news)[-1] == Changed("invoker0", State.UP, "works")


def test_a_draining_invoker_gets_no_jobs_and_ends_what_it_has_before_it_leaves() -> None:
    cluster = Cluster("invoker0")
    cluster.place()
    cluster.beat("invoker0", phase=Phase.DRAINING)
    assert cluster.state("invoker0") is State.DRAINING
    assert isinstance(cluster.place(), Refused)
    assert cluster.balancer.finished("job1", cluster.now) == []
    assert cluster.beat("invoker0", phase=Phase.LEFT) == [
        Changed("invoker0", State.DOWN, "has left"),
        Lost("invoker0", ()),
    ]


def test_platform_faults_of_several_namespaces_make_an_invoker_unhealthy_until_three_tests_are_good() -> None:
    cluster = Cluster("invoker0")
    cluster.run("alice", is_fault=True)
    cluster.run("alice", is_fault=True)
    assert cluster.run("bob", is_fault=True) == [Changed("invoker0", State.UNHEALTHY, "platform faults")]
    assert isinstance(cluster.place(), Refused)
    news = cluster.pass_time(2)
    assert sum(isinstance(each, SendTest) for each in news) == 1
    answers = cluster.pass_tests(news)
    assert sum(isinstance(each, SendTest) for each in answers) == 2
    assert cluster.state("invoker0") is State.UP


def test_a_few_faults_among_many_good_ends_do_no_harm() -> None:
    cluster = Cluster("invoker0")
    for number in range(60):
        assert cluster.run(("alice", "bob")[number % 2], is_fault=number % 7 == 0) == []


def test_faults_of_long_ago_are_forgotten() -> None:
    cluster = Cluster("invoker0")
    for _ in range(2):
        cluster.run("alice", is_fault=True)
    cluster.pass_time(61)
    assert cluster.run("bob", is_fault=True) == []


def test_one_namespace_alone_makes_an_invoker_suspect_but_takes_it_from_nobody_that_passes_a_test() -> None:
    cluster = Cluster("invoker0")
    news = [each for _ in range(5) for each in cluster.run("mallory", is_fault=True)]
    assert [type(each) for each in news] == [SendTest]
    assert isinstance(cluster.place(), Placed)
    assert cluster.pass_tests(news) == []
    assert cluster.state("invoker0") is State.UP


def test_a_suspect_that_fails_its_test_is_unhealthy() -> None:
    cluster = Cluster("invoker0")
    news = [each for _ in range(3) for each in cluster.run("mallory", is_fault=True)]
    cluster.pass_tests(news, is_good=False)
    assert cluster.state("invoker0") is State.UNHEALTHY


def test_who_falls_ill_again_soon_is_tested_later() -> None:
    cluster = Cluster("invoker0")

    def seconds_until_a_test() -> float:
        for namespace in ("alice", "bob", "carol"):
            cluster.run(namespace, is_fault=True)
        began = cluster.now
        news: list[Instruction] = []
        while not any(isinstance(each, SendTest) for each in news):
            cluster.beat("invoker0")
            news = cluster.pass_time(0.5)
        cluster.pass_tests(news)
        return cluster.now - began

    cluster.pass_time(61)
    assert [seconds_until_a_test() for _ in range(3)] == [1.0, 2.0, 4.0]


def test_a_controller_that_was_held_up_takes_nobody_for_silent() -> None:
    cluster = Cluster("invoker0", "invoker1")
    cluster.now += 30
    assert cluster.balancer.tick(cluster.now) == []
    assert cluster.state("invoker0") is State.UP


def test_a_controller_that_could_hear_nobody_takes_nobody_for_silent() -> None:
    cluster = Cluster("invoker0")
    cluster.pass_time(2, "invoker0")
    cluster.balancer.was_deaf(2.0, cluster.now)
    assert cluster.pass_time(2, "invoker0") == []


def test_controllers_share_the_memory_with_those_they_have_heard_of_lately() -> None:
    cluster = Cluster("invoker0")

    def room() -> int:
        """How many jobs find a place."""
        before = cluster.jobs
        while isinstance(cluster.place(), Placed):
            pass
        count = cluster.jobs - before - 1
        for number in range(before + 1, cluster.jobs):
            cluster.balancer.finished(f"job{number}", cluster.now)
        return count

    alone = room()
    cluster.balancer.heard_controller("controller-2", cluster.now)
    cluster.balancer.heard_controller("controller-1", cluster.now)
    assert room() == alone // 2
    cluster.pass_time(11)
    assert room() == alone
    cluster.balancer.heard_controller("controller-2", cluster.now)
    cluster.balancer.controller_left("controller-2")
    assert room() == alone


def test_an_invoker_that_has_long_been_down_is_not_told_of_any_more() -> None:
    cluster = Cluster("invoker0")
    cluster.pass_time(650, "invoker0")
    assert cluster.balancer.states() == {}
